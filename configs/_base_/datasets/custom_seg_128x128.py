# As folder_seg.py at a quarter of the size, for the built-in model: short sides of 128 pixels, crops of 128 x 128.
_base_ = './folder_seg.py'

train_pipeline = [
    dict(type='vlprompt.LoadImageFile'),
    dict(type='vlprompt.LoadMask'),
    dict(type='RandomResize', scale=(512, 128), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(128, 128), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='vlprompt.LoadImageFile'),
    dict(type='Resize', scale=(512, 128), keep_ratio=True),
    dict(type='vlprompt.LoadMask'),  # after the resize, which is not meant for them
    dict(type='PackSegInputs'),
]
tta_pipeline = [
    dict(type='vlprompt.LoadImageFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale=(int(512 * r), int(128 * r)), keep_ratio=True)
                for r in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
            ],
            [dict(type='RandomFlip', prob=p, direction='horizontal') for p in (0.0, 1.0)],
            [dict(type='vlprompt.LoadMask')],
            [dict(type='PackSegInputs')],
        ],
    ),
]

# Loaded by the training process itself: small images, and machines with few cores.
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(dataset=dict(pipeline=train_pipeline)),
)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
