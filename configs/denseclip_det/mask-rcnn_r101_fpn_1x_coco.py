# Baseline without CLIP: mmdet's Mask R-CNN on an ImageNet ResNet-101, trained by SGD.
#   tools/dist_train.sh configs/denseclip_det/mask-rcnn_r101_fpn_1x_coco.py 8
_base_ = './mask-rcnn_r50_fpn_1x_coco.py'

model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')))
