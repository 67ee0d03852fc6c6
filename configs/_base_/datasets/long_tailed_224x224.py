# Long-tailed data at 224 pixels, as in LPT: pipelines, loaders, accuracy of many-, medium- and few-shot classes.
# Inherited by every data set. Instance-balanced sampling; a method that balances classes says so:
#   train_dataloader = dict(sampler=dict(_delete_=True, type='vlprompt.ClassAwareSampler', samples_per_class=4))
# and with batch_sampler=dict(type='vlprompt.DualStreamBatchSampler') a uniform stream beside it.
# data_root=None: the folder of the data set below data/, see data/README.md.

train_pipeline = [
    dict(type='vlprompt.LoadImage'),
    dict(type='vlprompt.RandomResizedCrop', size=224, interpolation='bilinear'),
    dict(type='vlprompt.RandomHorizontalFlip', prob=0.5),
    dict(type='vlprompt.PackClassification'),
]
test_pipeline = [
    dict(type='vlprompt.LoadImage'),
    dict(type='vlprompt.ResizeImage', size=(256, 256), interpolation='bilinear'),  # the aspect ratio is not kept
    dict(type='vlprompt.CenterCrop', size=224),
    dict(type='vlprompt.PackClassification'),
]
# What other recipes see, by name: pipeline={{_base_.short_side_pipeline}}
short_side_pipeline = [
    dict(type='vlprompt.LoadImage'),
    dict(type='vlprompt.ResizeShorterSide', size=256, interpolation='bilinear'),
    dict(type='vlprompt.CenterCrop', size=224),
    dict(type='vlprompt.PackClassification'),
]
whole_pipeline = [
    dict(type='vlprompt.LoadImage'),
    dict(type='vlprompt.ResizeImage', size=(224, 224), interpolation='bilinear'),
    dict(type='vlprompt.PackClassification'),
]
whole_flip_pipeline = [
    dict(type='vlprompt.LoadImage'),
    dict(type='vlprompt.ResizeImage', size=(224, 224), interpolation='bilinear'),
    dict(type='vlprompt.RandomHorizontalFlip', prob=0.5),
    dict(type='vlprompt.PackClassification'),
]

train_dataloader = dict(
    batch_size=128,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='vlprompt.EpochSampler', shuffle=True, pad=True),
    dataset=dict(
        type='vlprompt.LongTailedDataset',
        data_root=None,
        split='train',
        seed=1,
        pipeline=train_pipeline,
    ),
)

# Where a data set has no validation split, its file says None. The recipes do not look at it.
val_dataloader = dict(
    batch_size=128,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='vlprompt.LongTailedDataset', data_root=None, split='val', pipeline=test_pipeline),
)
val_evaluator = dict(type='vlprompt.ShotAccuracy', convention='oltr')

test_dataloader = dict(
    batch_size=128,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='vlprompt.LongTailedDataset', data_root=None, split='test', pipeline=test_pipeline),
)
test_evaluator = dict(type='vlprompt.ShotAccuracy', convention='oltr')
