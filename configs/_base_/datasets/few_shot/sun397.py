# SUN397: 397 scenes.
_base_ = './_shared.py'

train_dataloader = dict(dataset=dict(dataset='sun397'))
val_dataloader = dict(dataset=dict(dataset='sun397'))
test_dataloader = dict(dataset=dict(dataset='sun397'))
