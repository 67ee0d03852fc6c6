# Your own images, as coco_json_detection.py reads them, at short sides of 128 pixels for the built-in model.
_base_ = './scenes_det_128x128.py'

data_root = 'data/custom_det'
train_pipeline = [
    dict(type='vlprompt.LoadImageFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(192, 128), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='vlprompt.LoadImageFile'),
    dict(type='Resize', scale=(192, 128), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),  # after the resize, which is not meant for them
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]

train_dataloader = dict(dataset=dict(dataset=dict(data_root='${data_root}', pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(data_root='${data_root}', pipeline=test_pipeline))
test_dataloader = val_dataloader
