# Trained on ImageNet-LT, tested on the 50,889 images of ImageNet-Sketch.
_base_ = './imagenet_lt.py'

train_dataloader = dict(dataset=dict(dataset='imagenet_sketch'))
test_dataloader = dict(dataset=dict(dataset='imagenet_sketch'))
