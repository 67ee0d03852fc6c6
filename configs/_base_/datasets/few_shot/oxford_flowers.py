# Oxford Flowers 102.
_base_ = './_shared.py'

templates = 'a photo of a {}, a type of flower.'

train_dataloader = dict(dataset=dict(dataset='oxford_flowers'))
val_dataloader = dict(dataset=dict(dataset='oxford_flowers'))
test_dataloader = dict(dataset=dict(dataset='oxford_flowers'))
