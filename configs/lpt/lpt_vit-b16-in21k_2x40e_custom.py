# Your own images: --data-root DIR
_base_ = [
    '../_base_/models/lpt_vit-b16-in21k.py',
    '../_base_/datasets/custom_lt_224x224.py',
    '../_base_/schedules/lpt_40e.py',
    '../_base_/default_runtime_long_tailed.py',
]

train_dataloader = dict(
    batch_size=256,
    sampler=dict(_delete_=True, type='vlprompt.ClassAwareSampler', samples_per_class=4),
    batch_sampler=dict(type='vlprompt.DualStreamBatchSampler'),
)
