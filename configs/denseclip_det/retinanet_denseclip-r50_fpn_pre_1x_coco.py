_base_ = './retinanet_denseclip-r50_fpn_1x_coco.py'

# Pre-model prompting: the context vectors of each image come from the image.
model = dict(backbone=dict(matching=dict(prompting='pre')))
