# The built-in world: python tools/dataset_converters/generate_world.py --task detection --out data/scenes_det
_base_ = './coco_json_detection.py'

data_root = 'data/scenes_det'
train_pipeline = [
    dict(type='vlprompt.LoadImageFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='vlprompt.LoadImageFile'),
    dict(type='Resize', scale=(128, 128), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]

# Loaded by the training process itself: small images, and machines with few cores.
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(_delete_=True, type='vlprompt.InfiniteEpochSampler', shuffle=True),
    batch_sampler=None,
    dataset=dict(dataset=dict(data_root='${data_root}', pipeline=train_pipeline)),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root='${data_root}', pipeline=test_pipeline),
)
test_dataloader = val_dataloader
