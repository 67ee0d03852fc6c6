_base_ = [
    '../_base_/models/coop_vit-b16.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/few_shot_50e.py',
    '../_base_/default_runtime.py',
]

model = dict(class_names='imagenet')
train_dataloader = dict(dataset=dict(shots=8))
val_dataloader = dict(dataset=dict(shots=8))
