# Describable Textures: 47 classes.
_base_ = './few_shot_224.py'

train_dataloader = dict(dataset=dict(dataset='dtd'))
val_dataloader = dict(dataset=dict(dataset='dtd'))
test_dataloader = dict(dataset=dict(dataset='dtd'))
