# Pre-model prompting: the context vectors of each image come from the image.
#   tools/dist_train.sh configs/denseclip/denseclip_r101_fpn_pre_80k_ade20k-512x512.py 8
_base_ = './denseclip_r101_fpn_80k_ade20k-512x512.py'

model = dict(backbone=dict(matching=dict(prompting='pre')))
