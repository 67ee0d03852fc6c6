_base_ = './clip_fpn_r50.py'

# Baseline without text: the built-in ResNet under a narrow Semantic FPN; a leaf adds decode_head.num_classes.
data_preprocessor = dict(size=(128, 128))
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(clip=dict(arch='micro-rn', weights='scenes', image_size=128)),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=64),
    decode_head=dict(in_channels=[64, 64, 64, 64], channels=64),
    test_cfg=dict(_delete_=True, mode='whole'),
)
