# The built-in world, 10 classes, at 128 x 128 pixels.
#   python tools/dataset_converters/generate_world.py --task detection --out data/scenes_det
_base_ = './coco_json.py'

data_root = 'data/scenes_det'
num_classes = 10
train_pipeline = [
    '${load_image}',
    '${load_objects}',
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    '${load_image}',
    dict(type='Resize', scale=(128, 128), keep_ratio=True),
    '${load_objects}',
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
