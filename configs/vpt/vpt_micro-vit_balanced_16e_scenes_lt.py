_base_ = [
    '../_base_/models/vpt_micro-vit.py',
    '../_base_/datasets/scenes_lt_128x128.py',
    '../_base_/schedules/visual_micro.py',
    '../_base_/default_runtime_long_tailed.py',
]

model = dict(class_names='scenes_lt')
train_dataloader = dict(
    batch_size=32,
    sampler=dict(_delete_=True, type='vlprompt.ClassAwareSampler', samples_per_class=4),
)
