_base_ = [
    '../_base_/models/vpt_vit-b16-in21k.py',
    '../_base_/datasets/inat2018_224x224.py',
    '../_base_/schedules/visual_100e.py',
    '../_base_/default_runtime_long_tailed.py',
]

model = dict(num_classes=8142)
train_dataloader = dict(sampler=dict(_delete_=True, type='vlprompt.ClassAwareSampler', samples_per_class=4))
