# VeRi-776: 576 training and 200 test vehicles, 20 cameras, 8 viewpoints (from the keypoint lists, see data/README.md).
_base_ = './reid_256x256.py'

train_dataloader = dict(dataset=dict(dataset='veri'))
val_dataloader = dict(dataset=dict(dataset='veri'))
test_dataloader = dict(dataset=dict(dataset='veri'))
