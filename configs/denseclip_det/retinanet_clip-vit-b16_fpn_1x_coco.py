_base_ = './retinanet_clip-r50_fpn_1x_coco.py'

# RetinaNet begins at stride 8: three maps.
model = dict(
    backbone=dict(
        clip=dict(arch='ViT-B/16', image_size=640, vision=dict(interpolation='bilinear')),
        first_map=1,
    ),
    neck=dict(in_channels=[768, 768, 768], start_level=0),
)
