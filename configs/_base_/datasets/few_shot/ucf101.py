# UCF101: 101 actions, middle frames.
_base_ = './_shared.py'

templates = 'a photo of a person doing {}.'

train_dataloader = dict(dataset=dict(dataset='ucf101'))
val_dataloader = dict(dataset=dict(dataset='ucf101'))
test_dataloader = dict(dataset=dict(dataset='ucf101'))
