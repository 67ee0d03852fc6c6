_base_ = [
    '../_base_/models/fpn_r50.py',
    '../_base_/datasets/ade20k_512x512.py',
    '../_base_/schedules/adamw_poly_80k.py',
    '../_base_/default_runtime_seg.py',
]

model = dict(decode_head=dict(num_classes=150))
