# Your own images: --data-root DIR
_base_ = [
    '../_base_/models/linear_vit-b16-in21k.py',
    '../_base_/datasets/custom_lt_224x224.py',
    '../_base_/schedules/visual_100e.py',
    '../_base_/default_runtime_long_tailed.py',
]
