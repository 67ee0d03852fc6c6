# DenseCLIP with CLIP's ViT-B/16 under Mask R-CNN.
# The official code has no working ViT detector. The tokens have stride 16, so the scores go to the third map.
#   tools/dist_train.sh configs/denseclip_det/mask-rcnn_denseclip-vit-b16_fpn_1x_coco.py 8
_base_ = './mask-rcnn_denseclip-r50_fpn_1x_coco.py'

model = dict(
    backbone=dict(
        clip=dict(arch='ViT-B/16', image_size=640, vision=dict(drop_path=0.1)),
        score_concat=dict(stage=2),
    ),
)
