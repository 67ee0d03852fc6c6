# Your own images in lists, DIR/{train,val,test}.txt with lines 'path label' (data/README.md).
#   --dataset list --data-root DIR
# Class names: classnames.txt beside the lists if there is one, else the labels. Numbers as labels need the file.
_base_ = './_shared.py'

data_root = 'data/mine'
train_dataloader = dict(dataset=dict(ann_file='{split}.txt'))
val_dataloader = dict(dataset=dict(ann_file='{split}.txt'))
test_dataloader = dict(dataset=dict(ann_file='{split}.txt'))
