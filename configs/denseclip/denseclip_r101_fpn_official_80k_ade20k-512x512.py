_base_ = './denseclip_r50_fpn_official_80k_ade20k-512x512.py'

model = dict(backbone=dict(clip=dict(arch='RN101')))
