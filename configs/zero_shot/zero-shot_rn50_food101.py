_base_ = [
    '../_base_/models/zero-shot_rn50.py',
    '../_base_/datasets/food101.py',
    '../_base_/default_runtime.py',
]

model = dict(class_names='food101', prompt=dict(templates='food101'))
