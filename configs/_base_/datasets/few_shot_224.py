# The data recipe of the CoOp family at 224 pixels: pipelines, loaders, top-1 accuracy. Inherited by every data set.
# data_root=None: the folder of the data set below data/, see data/README.md.

train_pipeline = [
    dict(type='vlprompt.LoadImage'),
    dict(type='vlprompt.RandomResizedCrop', size=224, scale=(0.08, 1.0)),
    dict(type='vlprompt.RandomHorizontalFlip', prob=0.5),
    dict(type='vlprompt.PackClassification'),
]
test_pipeline = [
    dict(type='vlprompt.LoadImage'),
    dict(type='vlprompt.ResizeShorterSide', size=224),
    dict(type='vlprompt.CenterCrop', size=224),
    dict(type='vlprompt.PackClassification'),
]

train_dataloader = dict(
    batch_size=32,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='vlprompt.EpochSampler', shuffle=True),
    batch_sampler=dict(type='vlprompt.DropRaggedBatchSampler'),
    dataset=dict(
        type='vlprompt.FewShotDataset',
        data_root=None,
        split='train',
        shots=16,
        seed=1,
        pipeline=train_pipeline,
    ),
)

# The few-shot validation set, min(shots, 4) images per class. The published recipes do not look at it.
val_dataloader = dict(
    batch_size=100,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='vlprompt.FewShotDataset',
        data_root=None,
        split='val',
        shots=16,
        seed=1,
        pipeline=test_pipeline,
    ),
)
val_evaluator = dict(type='vlprompt.Accuracy', topk=(1,))

test_dataloader = dict(
    batch_size=100,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='vlprompt.FewShotDataset',
        data_root=None,
        split='test',
        pipeline=test_pipeline,
    ),
)
test_evaluator = dict(type='vlprompt.Accuracy', topk=(1,))
