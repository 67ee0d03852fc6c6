# The built-in world: python tools/dataset_converters/generate_world.py --task segmentation --out data/scenes_seg
_base_ = './folder_seg.py'

data_root = 'data/scenes_seg'
train_pipeline = [
    dict(type='vlprompt.LoadImageFile'),
    dict(type='vlprompt.LoadMask'),
    dict(type='RandomResize', scale=(128, 128), ratio_range=(1.0, 1.25), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(128, 128)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [dict(type='vlprompt.LoadImageFile'), dict(type='vlprompt.LoadMask'), dict(type='PackSegInputs')]
tta_pipeline = [
    dict(type='vlprompt.LoadImageFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale=(int(128 * r), int(128 * r)), keep_ratio=True)
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
    dataset=dict(dataset=dict(data_root='${data_root}', pipeline=train_pipeline)),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root='${data_root}', pipeline=test_pipeline),
)
test_dataloader = val_dataloader
