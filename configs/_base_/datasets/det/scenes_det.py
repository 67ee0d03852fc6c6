# The built-in world, 20 classes, at 160 x 160 pixels.
#   vlprompt generate-world --task detection --out data/scenes_det
_base_ = './coco_json.py'

data_root = 'data/scenes_det'
num_classes = 20
train_pipeline = [
    '${load_image}',
    '${load_objects}',
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    '${load_image}',
    dict(type='Resize', scale=(160, 160), keep_ratio=True),
    '${load_objects}',
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
