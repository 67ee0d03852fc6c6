_base_ = [
    '../_base_/models/zero-shot_rn50.py',
    '../_base_/datasets/eurosat.py',
    '../_base_/default_runtime.py',
]

model = dict(class_names='eurosat', prompt=dict(templates='eurosat'))
