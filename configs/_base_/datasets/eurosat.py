# EuroSAT: 10 kinds of land.
_base_ = './few_shot_224.py'

train_dataloader = dict(dataset=dict(dataset='eurosat'))
val_dataloader = dict(dataset=dict(dataset='eurosat'))
test_dataloader = dict(dataset=dict(dataset='eurosat'))
