# Baseline without text: CLIP's ViT-B/16 under Mask R-CNN.
#   tools/dist_train.sh configs/denseclip_det/mask-rcnn_clip-vit-b16_fpn_1x_coco.py 8
_base_ = './mask-rcnn_clip-r50_fpn_1x_coco.py'

model = dict(
    backbone=dict(clip=dict(arch='ViT-B/16', image_size=640, vision=dict(interpolation='bilinear'))),
    neck=dict(in_channels=[768, 768, 768, 768]),
)
