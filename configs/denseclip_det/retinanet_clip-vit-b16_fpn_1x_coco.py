# Baseline without text: CLIP's ViT-B/16 under RetinaNet.
# RetinaNet begins at stride 8: three maps.
#   tools/dist_train.sh configs/denseclip_det/retinanet_clip-vit-b16_fpn_1x_coco.py 8
_base_ = './retinanet_clip-r50_fpn_1x_coco.py'

model = dict(
    backbone=dict(
        clip=dict(arch='ViT-B/16', image_size=640, vision=dict(interpolation='bilinear')),
        first_map=1,
    ),
    neck=dict(in_channels=[768, 768, 768], start_level=0),
)
