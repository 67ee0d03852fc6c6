# Caltech101: 100 classes.
_base_ = './_shared.py'

train_dataloader = dict(dataset=dict(dataset='caltech101'))
val_dataloader = dict(dataset=dict(dataset='caltech101'))
test_dataloader = dict(dataset=dict(dataset='caltech101'))
