_base_ = [
    '../_base_/models/reid_rn50.py',
    '../_base_/datasets/msmt17_256x128.py',
    '../_base_/schedules/clipreid_rn50_120e.py',
    '../_base_/default_runtime.py',
]
