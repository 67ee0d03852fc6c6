# Test on ImageNet-A among its own 200 classes; prompts come from ImageNet.
_base_ = './imagenet.py'

# data_root, --data-root: that of the test set; ImageNet itself is in data/imagenet.
train_dataloader = dict(dataset=dict(data_root=None))
val_dataloader = dict(dataset=dict(data_root=None))
test_dataloader = dict(dataset=dict(dataset='imagenet_a'))
