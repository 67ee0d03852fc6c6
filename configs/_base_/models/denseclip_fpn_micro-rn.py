# The built-in ResNet under a narrow Semantic FPN, at 128 x 128 pixels: learns in minutes on one core.
_base_ = './denseclip_fpn_r50.py'

image_size, test_scale = 128, (512, 128)
model = dict(
    backbone=dict(
        clip=dict(arch='micro-rn', weights='scenes'),
        matching=dict(context_decoder=dict(width=128, heads=2)),
    ),
    neck=dict(out_channels=64),
    decode_head=dict(channels=64),
    test_cfg=dict(_delete_=True, mode='whole'),
)
