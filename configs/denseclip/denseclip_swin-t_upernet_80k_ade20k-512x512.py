_base_ = [
    '../_base_/models/denseclip_upernet_swin-t.py',
    '../_base_/datasets/ade20k_512x512.py',
    '../_base_/schedules/adamw_poly_80k_denseclip.py',
    '../_base_/default_runtime_seg.py',
]

model = dict(class_names='ade20k')
