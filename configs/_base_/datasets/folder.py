# Your own images, a folder per class: data/mine/{train,val,test}/<class name>/<image>.
_base_ = './few_shot_224.py'

data_root = 'data/mine'

train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root))
