# EuroSAT: 10 kinds of land.
_base_ = './_shared.py'

templates = 'a centered satellite photo of {}.'

train_dataloader = dict(dataset=dict(dataset='eurosat'))
val_dataloader = dict(dataset=dict(dataset='eurosat'))
test_dataloader = dict(dataset=dict(dataset='eurosat'))
