# Baseline without text: the built-in ResNet under a narrow RetinaNet.
_base_ = './clip_retinanet_r50.py'

image_scale = (240, 160)
model = dict(
    backbone=dict(clip=dict(arch='micro-rn', weights='scenes')),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=64, num_outs=3),
    bbox_head=dict(
        in_channels=64,
        feat_channels=64,
        stacked_convs=2,
        anchor_generator=dict(strides=[8, 16, 16], base_sizes=[8, 16, 32]),
    ),
)
