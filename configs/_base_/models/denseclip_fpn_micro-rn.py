# The built-in ResNet under a narrow Semantic FPN, at 160 x 160 pixels: learns in minutes on one core.
_base_ = './denseclip_fpn_r50.py'

image_size, test_scale = 160, (640, 160)
model = dict(
    backbone=dict(
        clip=dict(arch='micro-rn', weights='scenes'),
        matching=dict(
            prompt=dict(context_length=16),  # names such as 'butterfly with an orange body'
            context_decoder=dict(width=128, heads=2),
        ),
    ),
    neck=dict(out_channels=64),
    decode_head=dict(channels=64, feature_strides=[4, 8, 16, 16]),
    test_cfg=dict(_delete_=True, mode='whole'),
)
