_base_ = [
    '../_base_/models/zero-shot_vit-b16.py',
    '../_base_/datasets/imagenetv2.py',
    '../_base_/default_runtime.py',
]

model = dict(class_names='imagenetv2', prompt=dict(templates='imagenet'))
