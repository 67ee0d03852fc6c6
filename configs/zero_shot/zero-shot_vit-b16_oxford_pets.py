_base_ = [
    '../_base_/models/zero-shot_vit-b16.py',
    '../_base_/datasets/oxford_pets.py',
    '../_base_/default_runtime.py',
]

model = dict(class_names='oxford_pets', prompt=dict(templates='oxford_pets'))
