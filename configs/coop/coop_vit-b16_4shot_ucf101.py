_base_ = [
    '../_base_/models/coop_vit-b16.py',
    '../_base_/datasets/ucf101.py',
    '../_base_/schedules/few_shot_100e.py',
    '../_base_/default_runtime.py',
]

model = dict(class_names='ucf101')
train_dataloader = dict(dataset=dict(shots=4))
val_dataloader = dict(dataset=dict(shots=4))
