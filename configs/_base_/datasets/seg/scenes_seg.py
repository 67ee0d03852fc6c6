# The built-in world, 21 classes, at the size at which it was generated (--size of the generator).
#   vlprompt generate-world --task segmentation --out data/scenes_seg
_base_ = './seg_folder.py'

data_root = 'data/scenes_seg'
class_names, num_classes = 'scenes_seg', 21
tta_scale = '${crop_size}'
train_pipeline = [
    '${load_image}',
    '${load_mask}',
    dict(type='RandomResize', scale='${crop_size}', ratio_range=(1.0, 1.25), keep_ratio=True),
    dict(type='RandomCrop', crop_size='${crop_size}'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = ['${load_image}', '${load_mask}', dict(type='PackSegInputs')]

val_dataloader = dict(batch_size=8)
test_dataloader = val_dataloader
