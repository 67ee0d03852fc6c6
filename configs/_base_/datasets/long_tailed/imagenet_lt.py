# ImageNet-LT: 1000 classes, 115,846 training images (1,280 to 5 per class).
_base_ = './_shared.py'

train_dataloader = dict(dataset=dict(dataset='imagenet_lt'))
val_dataloader = dict(dataset=dict(dataset='imagenet_lt'))
test_dataloader = dict(dataset=dict(dataset='imagenet_lt'))
