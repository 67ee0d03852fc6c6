# Food-101.
_base_ = './few_shot_224.py'

train_dataloader = dict(dataset=dict(dataset='food101'))
val_dataloader = dict(dataset=dict(dataset='food101'))
test_dataloader = dict(dataset=dict(dataset='food101'))
