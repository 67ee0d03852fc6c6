_base_ = './denseclip_fpn_r50.py'

# The built-in ResNet under a narrow Semantic FPN: learns in minutes on one core.
data_preprocessor = dict(size=(128, 128))
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(
        clip=dict(arch='micro-rn', weights='scenes', image_size=128),
        matching=dict(context_decoder=dict(width=128, heads=2)),
    ),
    neck=dict(out_channels=64),
    decode_head=dict(channels=64),
    test_cfg=dict(_delete_=True, mode='whole'),
)
