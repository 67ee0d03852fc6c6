_base_ = [
    '../_base_/models/zero-shot_micro-vit.py',
    '../_base_/datasets/scenes.py',
    '../_base_/default_runtime.py',
]

model = dict(class_names='scenes')
