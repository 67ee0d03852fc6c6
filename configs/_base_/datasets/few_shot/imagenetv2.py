# Train on ImageNet, test on ImageNetV2 (matched frequency, 10,000 images).
_base_ = './imagenet.py'

test_dataloader = dict(dataset=dict(dataset='imagenetv2'))
# --data-root is the folder of the test images.
train_dataloader = dict(dataset=dict(data_root=None))
val_dataloader = dict(dataset=dict(data_root=None))
