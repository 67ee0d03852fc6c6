# Baseline without text: CLIP ResNet-50 under Semantic FPN, a segmentor of mmseg.
task = 'seg'
image_size = 512  # pixels; determines the tower's position embedding
crop_size = ('${image_size}', '${image_size}')
test_scale = (2048, 512)
data_preprocessor = dict(
    type='vlprompt.SegPreprocessor',
    mean=[122.7709383, 116.7460125, 104.09373615],
    std=[68.5005327, 66.6321579, 70.32316305],
    bgr_to_rgb=True,
    pad_val=0,
    seg_pad_val=255,
    size='${crop_size}',
)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=data_preprocessor,
    backbone=dict(
        type='vlprompt.ClipTrunk',
        clip=dict(arch='RN50', weights='openai', image_size='${image_size}', vision=dict(interpolation='bilinear')),
    ),
    neck=dict(type='FPN', in_channels=[256, 512, 1024, 2048], out_channels=256, num_outs=4),
    decode_head=dict(
        type='vlprompt.FPNHead',
        in_channels=[256, 256, 256, 256],
        in_index=[0, 1, 2, 3],
        feature_strides=[4, 8, 16, 32],
        channels=256,
        dropout_ratio=0.1,
        norm_cfg=dict(type='BN'),
        num_classes='${num_classes}',
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size='${crop_size}', stride='${crop_size * 2/3}'),
)
