# Baseline without CLIP: ImageNet ResNet-101 under Semantic FPN.
#   tools/dist_train.sh configs/denseclip/fpn_r101_80k_ade20k-512x512.py 8
_base_ = './fpn_r50_80k_ade20k-512x512.py'

model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')))
