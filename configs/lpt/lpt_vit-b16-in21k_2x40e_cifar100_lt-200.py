_base_ = [
    '../_base_/models/lpt_vit-b16-in21k.py',
    '../_base_/datasets/cifar100_lt_224x224.py',
    '../_base_/schedules/lpt_40e.py',
    '../_base_/default_runtime_long_tailed.py',
]

model = dict(class_names='cifar100_lt')
train_dataloader = dict(
    batch_size=256,
    sampler=dict(_delete_=True, type='vlprompt.ClassAwareSampler', samples_per_class=4),
    batch_sampler=dict(type='vlprompt.DualStreamBatchSampler'),
    dataset=dict(imbalance=200),
)
test_dataloader = dict(dataset=dict(imbalance=200))
