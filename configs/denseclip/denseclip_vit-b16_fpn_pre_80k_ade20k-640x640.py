_base_ = './denseclip_vit-b16_fpn_80k_ade20k-640x640.py'

# Pre-model prompting: the context vectors of each image come from the image.
model = dict(backbone=dict(matching=dict(prompting='pre')))
