# Your own images with annotations in COCO's form: images/{train,val}/ and annotations/instances_{train,val}.json, see
# data/README.md. A leaf sets data_root, or the tools take --data-root. What the classes are called, the files say.
dataset_type = 'vlprompt.CocoInstances'
data_root = 'data/custom_det'

train_pipeline = [
    dict(type='vlprompt.LoadImageFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(1333, 800), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='vlprompt.LoadImageFile'),
    dict(type='Resize', scale=(1333, 800), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),  # after the resize, which is not meant for them
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]

train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='vlprompt.EpochSampler', shuffle=True, pad=True),
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(
        type='vlprompt.SeededDataset',
        seed=1,
        dataset=dict(
            type=dataset_type,
            data_root='${data_root}',
            split='train',
            masks=False,
            broken='error',
            filter_cfg=dict(filter_empty_gt=True, min_size=32),
            pipeline=train_pipeline,
        ),
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root='${data_root}',
        split='val',
        masks=False,
        broken='error',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='vlprompt.CocoInstancesMetric', metric=['bbox'])
test_evaluator = val_evaluator
