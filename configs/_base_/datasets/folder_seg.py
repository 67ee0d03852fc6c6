# A folder of images and a folder of masks, images/{train,val}/ and masks/{train,val}/ with classnames.txt: see
# data/README.md. A leaf sets data_root, or the tools take --data-root. Crops of 512 x 512.
_base_ = './seg_512x512.py'

dataset_type = 'vlprompt.FolderSegDataset'
data_root = 'data/custom'
train_pipeline = [
    dict(type='vlprompt.LoadImageFile'),
    dict(type='vlprompt.LoadMask'),
    dict(type='RandomResize', scale=(2048, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(512, 512), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='vlprompt.LoadImageFile'),
    dict(type='Resize', scale=(2048, 512), keep_ratio=True),
    dict(type='vlprompt.LoadMask'),  # after the resize, which is not meant for them
    dict(type='PackSegInputs'),
]
# Six ratios of the test scale (not of the image), each also mirrored.
tta_pipeline = [
    dict(type='vlprompt.LoadImageFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale=(int(2048 * r), int(512 * r)), keep_ratio=True)
                for r in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
            ],
            [dict(type='RandomFlip', prob=p, direction='horizontal') for p in (0.0, 1.0)],
            [dict(type='vlprompt.LoadMask')],
            [dict(type='PackSegInputs')],
        ],
    ),
]

train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            type=dataset_type,
            data_root='${data_root}',
            split='train',
            pipeline=train_pipeline,
        ),
    ),
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root='${data_root}',
        split='val',
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
