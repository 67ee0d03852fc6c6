_base_ = [
    '../_base_/models/zero-shot_rn50.py',
    '../_base_/datasets/oxford_flowers.py',
    '../_base_/default_runtime.py',
]

model = dict(class_names='oxford_flowers', prompt=dict(templates='oxford_flowers'))
