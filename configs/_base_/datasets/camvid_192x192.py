# CamVid at 320 x 240 with 11 classes, as images/ and annotations/ with the splits train, val and test: data/README.md.
_base_ = './scenes_seg_128x128.py'

data_root = 'data/camvid'
_palette = [
    [128, 128, 128],
    [128, 0, 0],
    [192, 192, 128],
    [128, 64, 128],
    [60, 40, 222],
    [128, 128, 0],
    [192, 128, 128],
    [64, 64, 128],
    [64, 0, 128],
    [64, 64, 0],
    [0, 128, 192],
]
_layout = dict(data_root='${data_root}', masks='annotations', palette=_palette)
train_pipeline = [
    dict(type='vlprompt.LoadImageFile'),
    dict(type='vlprompt.LoadMask'),
    dict(type='RandomResize', scale=(320, 240), ratio_range=(0.8, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(192, 192), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
tta_pipeline = [
    dict(type='vlprompt.LoadImageFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale=(int(320 * r), int(240 * r)), keep_ratio=True)
                for r in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
            ],
            [dict(type='RandomFlip', prob=p, direction='horizontal') for p in (0.0, 1.0)],
            [dict(type='vlprompt.LoadMask')],
            [dict(type='PackSegInputs')],
        ],
    ),
]

train_dataloader = dict(dataset=dict(dataset=dict(**_layout, pipeline=train_pipeline)))
val_dataloader = dict(dataset=_layout)
test_dataloader = dict(dataset=dict(**_layout, split='test'))
