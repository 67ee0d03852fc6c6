# Describable Textures: 47 classes.
_base_ = './_shared.py'

templates = '{} texture.'

train_dataloader = dict(dataset=dict(dataset='dtd'))
val_dataloader = dict(dataset=dict(dataset='dtd'))
test_dataloader = dict(dataset=dict(dataset='dtd'))
