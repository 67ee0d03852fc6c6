# ImageNet: 1000 classes; its validation split is the test set. Tree: data/README.md.
_base_ = './_shared.py'

train_dataloader = dict(dataset=dict(dataset='imagenet'))
val_dataloader = dict(dataset=dict(dataset='imagenet'))
test_dataloader = dict(dataset=dict(dataset='imagenet'))
