# Pre-model prompting: the context vectors of each image come from the image.
#   tools/dist_train.sh configs/denseclip_det/retinanet_denseclip-r50_fpn_pre_1x_coco.py 8
_base_ = './retinanet_denseclip-r50_fpn_1x_coco.py'

model = dict(backbone=dict(matching=dict(prompting='pre')))
