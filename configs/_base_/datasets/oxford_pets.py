# Oxford-IIIT Pet: 37 breeds.
_base_ = './few_shot_224.py'

train_dataloader = dict(dataset=dict(dataset='oxford_pets'))
val_dataloader = dict(dataset=dict(dataset='oxford_pets'))
test_dataloader = dict(dataset=dict(dataset='oxford_pets'))
