# Any backbone: ImageNet Swin-T with a new attention pool, UperNet on the maps (no neck).
_base_ = './denseclip_fpn_in1k-r50.py'

model = dict(
    backbone=dict(
        trunk=dict(
            trunk=dict(
                _delete_=True,
                type='SwinTransformer',
                embed_dims=96,
                depths=[2, 2, 6, 2],
                num_heads=[3, 6, 12, 24],
                window_size=7,
                out_indices=(0, 1, 2, 3),
                drop_path_rate=0.3,
                init_cfg=dict(
                    type='Pretrained',
                    checkpoint='https://mmassets.onedl.ai/mmsegmentation/v0.5/pretrain/swin/'
                    'swin_tiny_patch4_window7_224_20220317-1cdeb081.pth',
                ),
            ),
        ),
    ),
    neck=None,
    decode_head=dict(
        _delete_=True,
        type='vlprompt.UPerHead',
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2, 3, 6),
        channels=512,
        dropout_ratio=0.1,
        norm_cfg=dict(type='BN'),
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    auxiliary_head=dict(
        type='vlprompt.FCNHead',
        in_index=2,
        channels=256,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        norm_cfg=dict(type='BN'),
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=0.4),
    ),
)
