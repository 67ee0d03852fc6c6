# Baseline without text: CLIP's ResNet-101 under RetinaNet.
#   tools/dist_train.sh configs/denseclip_det/retinanet_clip-r101_fpn_1x_coco.py 8
_base_ = './retinanet_clip-r50_fpn_1x_coco.py'

model = dict(backbone=dict(clip=dict(arch='RN101')))
