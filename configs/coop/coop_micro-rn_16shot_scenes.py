_base_ = [
    '../_base_/models/coop_micro-rn.py',
    '../_base_/datasets/scenes.py',
    '../_base_/schedules/few_shot_micro.py',
    '../_base_/default_runtime.py',
]

model = dict(class_names='scenes')
train_dataloader = dict(dataset=dict(shots=16))
