_base_ = [
    '../_base_/models/reid_vit-b16.py',
    '../_base_/datasets/occluded_duke_256x128.py',
    '../_base_/schedules/reid_vit_60e.py',
    '../_base_/default_runtime.py',
]
