# Baseline without text: CLIP's ResNet-101. The official config loads RN50's weights here by mistake.
#   tools/dist_train.sh configs/denseclip/clip_r101_fpn_80k_ade20k-512x512.py 8
_base_ = './clip_r50_fpn_80k_ade20k-512x512.py'

model = dict(backbone=dict(clip=dict(arch='RN101')))
