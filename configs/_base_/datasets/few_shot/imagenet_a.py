# Test on ImageNet-A among its own 200 classes (model.class_names='imagenet_a'); prompts come from ImageNet.
_base_ = './imagenet.py'

test_dataloader = dict(dataset=dict(dataset='imagenet_a'))
