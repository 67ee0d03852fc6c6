# Train on ImageNet, test on ImageNet-Sketch (50,889 images).
_base_ = './imagenet.py'

test_dataloader = dict(dataset=dict(dataset='imagenet_sketch'))
# --data-root is the folder of the test images.
train_dataloader = dict(dataset=dict(data_root=None))
val_dataloader = dict(dataset=dict(data_root=None))
