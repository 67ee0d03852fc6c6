_base_ = [
    '../_base_/models/lpt_vit-b16-in21k.py',
    '../_base_/datasets/places_lt_224x224.py',
    '../_base_/schedules/lpt_official_90e.py',
    '../_base_/default_runtime_long_tailed.py',
]

# As the published script and weights: an epsilon of 1e-5, groups of classes as LPT counts them.
model = dict(num_classes=365, timm=dict(norm_eps=1e-5))
train_dataloader = dict(
    batch_size=256,
    sampler=dict(_delete_=True, type='vlprompt.ClassAwareSampler', samples_per_class=4),
    batch_sampler=dict(type='vlprompt.DualStreamBatchSampler'),
)
val_evaluator = dict(convention='lpt')
test_evaluator = dict(convention='lpt')
