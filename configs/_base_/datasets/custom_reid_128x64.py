# Your own images in Market-1501's layout, as in custom_reid_256x128.py, at the size of the built-in models.
_base_ = './scenes_reid_128x64.py'

train_dataloader = dict(dataset=dict(dataset=None, data_root='data/mine'))
val_dataloader = dict(dataset=dict(dataset=None, data_root='data/mine'))
test_dataloader = dict(dataset=dict(dataset=None, data_root='data/mine'))
