_base_ = [
    '../_base_/models/zero-shot_rn50.py',
    '../_base_/datasets/stanford_cars.py',
    '../_base_/default_runtime.py',
]

model = dict(class_names='stanford_cars', prompt=dict(templates='stanford_cars'))
