_base_ = './clip_r50_fpn_80k_ade20k-512x512.py'

# The official config loads RN50's weights here by mistake; these are RN101's.
model = dict(backbone=dict(clip=dict(arch='RN101')))
