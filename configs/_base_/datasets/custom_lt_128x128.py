# Your own long-tailed images as in custom_lt_224x224.py, at 128 pixels; no validation list.
_base_ = './long_tailed_128x128.py'

data_root = 'data/mine'

train_dataloader = dict(dataset=dict(data_root=data_root, ann_file='{split}.txt'))
val_dataloader = None
val_evaluator = None
test_dataloader = dict(dataset=dict(data_root=data_root, ann_file='{split}.txt'))
