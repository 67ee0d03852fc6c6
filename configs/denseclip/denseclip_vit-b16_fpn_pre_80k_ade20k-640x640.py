# Pre-model prompting: the context vectors of each image come from the image.
#   tools/dist_train.sh configs/denseclip/denseclip_vit-b16_fpn_pre_80k_ade20k-640x640.py 8
_base_ = './denseclip_vit-b16_fpn_80k_ade20k-640x640.py'

model = dict(backbone=dict(matching=dict(prompting='pre')))
