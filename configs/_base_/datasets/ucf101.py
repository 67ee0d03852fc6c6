# UCF101: 101 actions, middle frames.
_base_ = './few_shot_224.py'

train_dataloader = dict(dataset=dict(dataset='ucf101'))
val_dataloader = dict(dataset=dict(dataset='ucf101'))
test_dataloader = dict(dataset=dict(dataset='ucf101'))
