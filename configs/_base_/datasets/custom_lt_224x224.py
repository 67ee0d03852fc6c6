# Your own long-tailed images, listed in data/mine/{train,val,test}.txt, lines 'path label' (see data/README.md).
# Class names: classnames.txt beside the lists if there is one, else the folders that the training images lie in.
_base_ = './long_tailed_224x224.py'

data_root = 'data/mine'

train_dataloader = dict(dataset=dict(data_root=data_root, ann_file='{split}.txt'))
val_dataloader = dict(dataset=dict(data_root=data_root, ann_file='{split}.txt'))
test_dataloader = dict(dataset=dict(data_root=data_root, ann_file='{split}.txt'))
