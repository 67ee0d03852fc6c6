# Baseline without text: the built-in ResNet under a narrow Semantic FPN, at 160 x 160 pixels.
_base_ = './clip_fpn_r50.py'

image_size, test_scale = 160, (640, 160)
model = dict(
    backbone=dict(clip=dict(arch='micro-rn', weights='scenes')),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=64),
    decode_head=dict(in_channels=[64, 64, 64, 64], channels=64, feature_strides=[4, 8, 16, 16]),
    test_cfg=dict(_delete_=True, mode='whole'),
)
