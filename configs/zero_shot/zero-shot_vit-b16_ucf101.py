_base_ = [
    '../_base_/models/zero-shot_vit-b16.py',
    '../_base_/datasets/ucf101.py',
    '../_base_/default_runtime.py',
]

model = dict(class_names='ucf101', prompt=dict(templates='ucf101'))
