_base_ = [
    '../_base_/models/zero-shot_vit-b16.py',
    '../_base_/datasets/imagenet_a.py',
    '../_base_/default_runtime.py',
]

model = dict(class_names='imagenet_a', prompt=dict(templates='imagenet'))
