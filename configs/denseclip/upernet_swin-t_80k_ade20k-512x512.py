_base_ = [
    '../_base_/models/upernet_swin-t.py',
    '../_base_/datasets/ade20k_512x512.py',
    '../_base_/schedules/adamw_poly_80k.py',
    '../_base_/default_runtime_seg.py',
]

model = dict(decode_head=dict(num_classes=150), auxiliary_head=dict(num_classes=150))
