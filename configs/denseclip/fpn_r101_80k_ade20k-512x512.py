_base_ = './fpn_r50_80k_ade20k-512x512.py'

model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')))
