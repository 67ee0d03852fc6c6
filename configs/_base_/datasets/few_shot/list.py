# Your own images in lists, DIR/{train,val,test}.txt with lines 'path label', and DIR/classnames.txt with a name a line.
#   --dataset list --data-root DIR
_base_ = './_shared.py'

data_root = 'data/mine'
train_dataloader = dict(dataset=dict(ann_file='{split}.txt', classes='classnames.txt'))
val_dataloader = dict(dataset=dict(ann_file='{split}.txt', classes='classnames.txt'))
test_dataloader = dict(dataset=dict(ann_file='{split}.txt', classes='classnames.txt'))
