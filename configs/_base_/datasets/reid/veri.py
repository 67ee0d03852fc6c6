# VeRi-776: 576 training and 200 test vehicles, 20 cameras, 8 viewpoints (from the keypoint lists, see data/README.md).
_base_ = './_shared.py'

image_size = (256, 256)
train_dataloader = dict(dataset=dict(dataset='veri'))
val_dataloader = dict(dataset=dict(dataset='veri'))
test_dataloader = dict(dataset=dict(dataset='veri'))
