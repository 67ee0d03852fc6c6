_base_ = './retinanet_denseclip-r50_fpn_1x_coco.py'

model = dict(backbone=dict(clip=dict(arch='RN101')))
