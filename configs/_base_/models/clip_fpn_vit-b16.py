# Baseline without text: CLIP ViT-B/16 under Semantic FPN, at 640 x 640 pixels.
_base_ = './clip_fpn_r50.py'

image_size, test_scale = 640, (2048, 640)
model = dict(backbone=dict(clip=dict(arch='ViT-B/16')), neck=dict(in_channels=[768, 768, 768, 768]))
