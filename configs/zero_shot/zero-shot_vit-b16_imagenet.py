_base_ = [
    '../_base_/models/zero-shot_vit-b16.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/default_runtime.py',
]

model = dict(class_names='imagenet', prompt=dict(templates='imagenet'))
