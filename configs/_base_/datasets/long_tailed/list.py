# Your own long-tailed images in lists, DIR/{train,test}.txt with lines 'path label' (data/README.md).
#   --dataset list --data-root DIR
# Class names: classnames.txt beside the lists if there is one, else the folders of the training images.
_base_ = './_shared.py'

data_root = 'data/mine'
train_dataloader = dict(dataset=dict(ann_file='{split}.txt'))
val_dataloader = None
val_evaluator = None
test_dataloader = dict(dataset=dict(ann_file='{split}.txt'))
