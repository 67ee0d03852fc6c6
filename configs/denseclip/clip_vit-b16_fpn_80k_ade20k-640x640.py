_base_ = [
    '../_base_/models/clip_fpn_vit-b16.py',
    '../_base_/datasets/ade20k_640x640.py',
    '../_base_/schedules/adamw_poly_80k.py',
    '../_base_/default_runtime_seg.py',
]

model = dict(decode_head=dict(num_classes=150))
