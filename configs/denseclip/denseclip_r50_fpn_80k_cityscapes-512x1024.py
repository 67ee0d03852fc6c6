_base_ = [
    '../_base_/models/denseclip_fpn_r50.py',
    '../_base_/datasets/cityscapes_512x1024.py',
    '../_base_/schedules/adamw_poly_80k_denseclip.py',
    '../_base_/default_runtime_seg.py',
]

data_preprocessor = dict(size=(512, 1024))
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(clip=dict(image_size=(512, 1024))),
    class_names='cityscapes',
    test_cfg=dict(crop_size=(512, 1024), stride=(341, 682)),
)
