_base_ = './denseclip_r101_fpn_80k_ade20k-512x512.py'

# Pre-model prompting: the context vectors of each image come from the image.
model = dict(backbone=dict(matching=dict(prompting='pre')))
