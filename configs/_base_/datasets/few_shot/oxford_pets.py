# Oxford-IIIT Pet: 37 breeds.
_base_ = './_shared.py'

templates = 'a photo of a {}, a type of pet.'

train_dataloader = dict(dataset=dict(dataset='oxford_pets'))
val_dataloader = dict(dataset=dict(dataset='oxford_pets'))
test_dataloader = dict(dataset=dict(dataset='oxford_pets'))
