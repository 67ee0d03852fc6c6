_base_ = [
    '../_base_/models/denseclip_fpn_vit-b16.py',
    '../_base_/datasets/ade20k_640x640.py',
    '../_base_/schedules/adamw_poly_80k_denseclip.py',
    '../_base_/default_runtime_seg.py',
]

model = dict(class_names='ade20k')
