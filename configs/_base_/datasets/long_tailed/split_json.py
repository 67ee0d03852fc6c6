# Your own long-tailed images with a split file in CoOp's form, DIR/split.json or any one split*.json (data/README.md).
#   --dataset split_json --data-root DIR
_base_ = './_shared.py'

data_root = 'data/mine'
train_dataloader = dict(dataset=dict(ann_file='split*.json'))
val_dataloader = dict(dataset=dict(ann_file='split*.json'))
test_dataloader = dict(dataset=dict(ann_file='split*.json'))
