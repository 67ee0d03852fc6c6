# Your own images listed in data/mine/{train,val,test}.txt, lines 'path label' (see data/README.md).
# Numbers as labels need data/mine/classnames.txt, one name per line.
_base_ = './few_shot_224.py'

data_root = 'data/mine'

train_dataloader = dict(dataset=dict(data_root=data_root, ann_file='{split}.txt'))
val_dataloader = dict(dataset=dict(data_root=data_root, ann_file='{split}.txt'))
test_dataloader = dict(dataset=dict(data_root=data_root, ann_file='{split}.txt'))
