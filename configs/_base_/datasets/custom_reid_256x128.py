# Your own images in Market-1501's layout: data/mine/{bounding_box_train,query,bounding_box_test}/<identity>_c<camera>*.
# For a list instead, add ann_file='images.csv' to the data sets; for vehicles noun='vehicle' (see data/README.md).
_base_ = './reid_256x128.py'

data_root = 'data/mine'

train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root))
