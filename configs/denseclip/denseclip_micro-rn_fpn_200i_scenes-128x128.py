_base_ = [
    '../_base_/models/denseclip_fpn_micro-rn.py',
    '../_base_/datasets/scenes_seg_128x128.py',
    '../_base_/schedules/adamw_poly_micro.py',
    '../_base_/default_runtime_seg_micro.py',
]

model = dict(class_names='scenes_seg')
