# Train on ImageNet, test on ImageNet-Sketch (50,889 images).
_base_ = './imagenet.py'

test_dataloader = dict(dataset=dict(dataset='imagenet_sketch'))
