# Food-101.
_base_ = './_shared.py'

templates = 'a photo of {}, a type of food.'

train_dataloader = dict(dataset=dict(dataset='food101'))
val_dataloader = dict(dataset=dict(dataset='food101'))
test_dataloader = dict(dataset=dict(dataset='food101'))
