# A handful of COCO photographs with the 80 classes of COCO, in the layout of coco_json_detection.py.
_base_ = './scenes_det_128x128.py'

data_root = 'data/coco128'
train_pipeline = [
    dict(type='vlprompt.LoadImageFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(384, 256), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='vlprompt.LoadImageFile'),
    dict(type='Resize', scale=(384, 256), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]

train_dataloader = dict(batch_size=4, dataset=dict(dataset=dict(data_root='${data_root}', pipeline=train_pipeline)))
val_dataloader = dict(batch_size=4, dataset=dict(data_root='${data_root}', pipeline=test_pipeline))
test_dataloader = val_dataloader
