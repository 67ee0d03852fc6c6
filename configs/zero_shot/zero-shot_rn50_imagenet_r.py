_base_ = [
    '../_base_/models/zero-shot_rn50.py',
    '../_base_/datasets/imagenet_r.py',
    '../_base_/default_runtime.py',
]

model = dict(class_names='imagenet_r', prompt=dict(templates='imagenet'))
