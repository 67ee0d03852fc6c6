_base_ = [
    '../_base_/models/denseclip_fpn_micro-rn.py',
    '../_base_/datasets/camvid_192x192.py',
    '../_base_/schedules/adamw_poly_micro.py',
    '../_base_/default_runtime_seg_micro.py',
]

data_preprocessor = dict(size=(192, 192))
model = dict(data_preprocessor=data_preprocessor, backbone=dict(clip=dict(image_size=192)))
