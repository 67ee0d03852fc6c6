# DenseCLIP with CLIP's ViT-B/16 under RetinaNet.
# The official code has no working ViT detector. RetinaNet begins at stride 8, and the tokens have stride 16, so of the
# maps of strides 8, 16 and 32 the scores go to the second.
#   tools/dist_train.sh configs/denseclip_det/retinanet_denseclip-vit-b16_fpn_1x_coco.py 8
_base_ = './retinanet_denseclip-r50_fpn_1x_coco.py'

model = dict(
    backbone=dict(
        clip=dict(arch='ViT-B/16', image_size=640, vision=dict(drop_path=0.1)),
        trunk=dict(first_map=1),
        score_concat=dict(stage=1),
    ),
    neck=dict(start_level=0),
)
