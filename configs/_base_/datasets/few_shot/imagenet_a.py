# Test on ImageNet-A among its own 200 classes; prompts come from ImageNet.
_base_ = './imagenet.py'

test_dataloader = dict(dataset=dict(dataset='imagenet_a'))
# --data-root is the folder of the test images.
train_dataloader = dict(dataset=dict(data_root=None))
val_dataloader = dict(dataset=dict(data_root=None))
