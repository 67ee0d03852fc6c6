# DenseCLIP on an ImageNet ResNet-101.
#   tools/dist_train.sh configs/denseclip/denseclip_in1k-r101_fpn_80k_ade20k-512x512.py 8
_base_ = './denseclip_in1k-r50_fpn_80k_ade20k-512x512.py'

model = dict(backbone=dict(trunk=dict(trunk=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')))))
