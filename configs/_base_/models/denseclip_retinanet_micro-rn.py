# The built-in ResNet under a narrow RetinaNet, its anchors for images of 128 pixels.
_base_ = './denseclip_retinanet_r50.py'

image_scale = (192, 128)
model = dict(
    backbone=dict(
        clip=dict(arch='micro-rn', weights='scenes', image_size=128),
        matching=dict(context_decoder=dict(width=128, heads=2)),
    ),
    neck=dict(out_channels=64, num_outs=3),
    bbox_head=dict(
        feat_channels=64,
        stacked_convs=2,
        anchor_generator=dict(strides=[8, 16, 32]),
    ),
)
