_base_ = './clip_fpn_r50.py'

data_preprocessor = dict(size=(640, 640))
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(clip=dict(arch='ViT-B/16', image_size=640)),
    neck=dict(in_channels=[768, 768, 768, 768]),
    test_cfg=dict(crop_size=(640, 640), stride=(426, 426)),
)
