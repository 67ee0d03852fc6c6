_base_ = './denseclip_micro-rn_fpn_200i_scenes-128x128.py'

# Pre-model prompting: the context vectors of each image come from the image.
model = dict(backbone=dict(matching=dict(prompting='pre')))
