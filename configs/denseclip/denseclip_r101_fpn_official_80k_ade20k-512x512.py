# The published code with CLIP's ResNet-101.
#   tools/dist_train.sh configs/denseclip/denseclip_r101_fpn_official_80k_ade20k-512x512.py 8
_base_ = './denseclip_r50_fpn_official_80k_ade20k-512x512.py'

model = dict(backbone=dict(clip=dict(arch='RN101')))
