_base_ = [
    '../_base_/models/zero-shot_rn50.py',
    '../_base_/datasets/sun397.py',
    '../_base_/default_runtime.py',
]

model = dict(class_names='sun397', prompt=dict(templates='sun397'))
