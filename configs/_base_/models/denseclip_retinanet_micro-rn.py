# The built-in ResNet under a narrow RetinaNet, its anchors for images of 160 pixels.
_base_ = './denseclip_retinanet_r50.py'

image_scale = (240, 160)
model = dict(
    backbone=dict(
        clip=dict(arch='micro-rn', weights='scenes', image_size=160),
        matching=dict(
            prompt=dict(context_length=16),  # names such as 'butterfly with an orange body'
            context_decoder=dict(width=128, heads=2),
        ),
    ),
    neck=dict(out_channels=64, num_outs=3),
    bbox_head=dict(
        feat_channels=64,
        stacked_convs=2,
        anchor_generator=dict(strides=[8, 16, 16], base_sizes=[8, 16, 32]),
    ),
)
