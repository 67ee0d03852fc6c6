# Re-identification at 256 x 128: the augmentation of the field's strong baselines, batches of 16 identities x 4 images,
# mAP and CMC without images of the query's own camera. Inherited by every person data set.
# data_root=None: the folder of the data set below data/, see data/README.md.

train_pipeline = [
    dict(type='vlprompt.LoadImage'),
    dict(type='vlprompt.ResizeImage', size=(256, 128), interpolation='bicubic'),
    dict(type='vlprompt.RandomHorizontalFlip', prob=0.5),
    dict(type='vlprompt.PaddedRandomCrop', size=(256, 128), padding=10),
    dict(type='vlprompt.RandomErasing', prob=0.5),
    dict(type='vlprompt.PackReIDInputs'),
]
test_pipeline = [
    dict(type='vlprompt.LoadImage'),
    dict(type='vlprompt.ResizeImage', size=(256, 128), interpolation='bilinear'),
    dict(type='vlprompt.PackReIDInputs'),
]

train_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='vlprompt.PKSampler', batch_size=64, instances=4),
    dataset=dict(type='vlprompt.ReIDDataset', data_root=None, split='train', seed=1, pipeline=train_pipeline),
)
# Query and gallery, one after the other. The published recipes look at them after the last epoch only.
test_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='vlprompt.ReIDDataset', data_root=None, split='test', pipeline=test_pipeline),
)
val_dataloader = test_dataloader
test_evaluator = dict(type='vlprompt.RetrievalMetric', topk=(1, 5, 10))
val_evaluator = test_evaluator
