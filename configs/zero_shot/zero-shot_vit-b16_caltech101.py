_base_ = [
    '../_base_/models/zero-shot_vit-b16.py',
    '../_base_/datasets/caltech101.py',
    '../_base_/default_runtime.py',
]

model = dict(class_names='caltech101', prompt=dict(templates='caltech101'))
