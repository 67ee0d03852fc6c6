_base_ = [
    '../_base_/models/coop_rn50.py',
    '../_base_/datasets/oxford_flowers.py',
    '../_base_/schedules/few_shot_200e.py',
    '../_base_/default_runtime.py',
]

model = dict(class_names='oxford_flowers')
train_dataloader = dict(dataset=dict(shots=8))
val_dataloader = dict(dataset=dict(shots=8))
