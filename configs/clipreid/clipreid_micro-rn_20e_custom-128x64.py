_base_ = [
    '../_base_/models/reid_micro-rn.py',
    '../_base_/datasets/custom_reid_128x64.py',
    '../_base_/schedules/clipreid_micro_20e.py',
    '../_base_/default_runtime.py',
]
