# CamVid at 320 x 240 with 11 classes, as images/ and annotations/ with the splits train, val and test: data/README.md.
_base_ = './seg_folder.py'

data_root = 'data/camvid'
num_classes = 11
tta_scale = (320, 240)
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
_layout = dict(masks='annotations', palette=_palette)
train_pipeline = [
    '${load_image}',
    '${load_mask}',
    dict(type='RandomResize', scale='${tta_scale}', ratio_range=(0.8, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size='${crop_size}', cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = ['${load_image}', '${load_mask}', dict(type='PackSegInputs')]

train_dataloader = dict(dataset=dict(dataset=_layout))
val_dataloader = dict(batch_size=8, dataset=_layout)
test_dataloader = dict(batch_size=8, dataset=dict(**_layout, split='test'))
