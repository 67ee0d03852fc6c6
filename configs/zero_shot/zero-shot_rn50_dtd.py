_base_ = [
    '../_base_/models/zero-shot_rn50.py',
    '../_base_/datasets/dtd.py',
    '../_base_/default_runtime.py',
]

model = dict(class_names='dtd', prompt=dict(templates='dtd'))
