# Oxford Flowers 102.
_base_ = './few_shot_224.py'

train_dataloader = dict(dataset=dict(dataset='oxford_flowers'))
val_dataloader = dict(dataset=dict(dataset='oxford_flowers'))
test_dataloader = dict(dataset=dict(dataset='oxford_flowers'))
