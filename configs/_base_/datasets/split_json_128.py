# Your own images with a split file, at the input size of the built-in micro models.
_base_ = './few_shot_128.py'

data_root = 'data/mine'

train_dataloader = dict(dataset=dict(data_root=data_root, ann_file='split*.json'))
val_dataloader = dict(dataset=dict(data_root=data_root, ann_file='split*.json'))
test_dataloader = dict(dataset=dict(data_root=data_root, ann_file='split*.json'))
