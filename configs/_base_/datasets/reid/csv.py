# Your own images in one list, DIR/images.csv with the columns path, id, camera and split (data/README.md).
#   --dataset csv --data-root DIR
_base_ = './folder.py'

train_dataloader = dict(dataset=dict(ann_file='images.csv'))
val_dataloader = dict(dataset=dict(ann_file='images.csv'))
test_dataloader = dict(dataset=dict(ann_file='images.csv'))
