# Your own images with a split file in CoOp's form, data/mine/split.json or any one split*.json (see data/README.md).
_base_ = './few_shot_224.py'

data_root = 'data/mine'

train_dataloader = dict(dataset=dict(data_root=data_root, ann_file='split*.json'))
val_dataloader = dict(dataset=dict(data_root=data_root, ann_file='split*.json'))
test_dataloader = dict(dataset=dict(data_root=data_root, ann_file='split*.json'))
