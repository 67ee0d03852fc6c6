# Baseline without text: CLIP's ResNet-101 under Mask R-CNN.
#   tools/dist_train.sh configs/denseclip_det/mask-rcnn_clip-r101_fpn_1x_coco.py 8
_base_ = './mask-rcnn_clip-r50_fpn_1x_coco.py'

model = dict(backbone=dict(clip=dict(arch='RN101')))
