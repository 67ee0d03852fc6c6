# DenseCLIP with CLIP's ResNet-50 and Semantic FPN.
# Channels and class numbers of neck and head follow from the trunk and the class names.
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
    type='vlprompt.DenseCLIP',
    class_names='${class_names}',
    data_preprocessor=data_preprocessor,
    backbone=dict(
        type='vlprompt.TextGuidedBackbone',
        clip=dict(arch='RN50', weights='openai', image_size='${image_size}', vision=dict(interpolation='bilinear')),
        trunk=dict(type='vlprompt.ClipTrunk', joint=True),
        matching=dict(
            prompt=dict(
                type='vlprompt.ContextPrompt', n_ctx=8, ending='', context_length=13, init_std=1.0, init_cut=2.0
            ),
            context_decoder=dict(type='vlprompt.ContextDecoder', width=256, heads=4, layers=3, dropout=0.1),
            prompting='post',
            gamma=1e-4,
        ),
        score_concat=dict(stage=3, temperature=1.0),
    ),
    pixel_text_loss=dict(type='vlprompt.PixelTextLoss', temperature=0.07, weight=0.4),
    neck=dict(type='FPN', out_channels=256, num_outs=4),
    decode_head=dict(
        type='vlprompt.FPNHead',
        in_index=[0, 1, 2, 3],
        feature_strides=[4, 8, 16, 32],
        channels=256,
        dropout_ratio=0.1,
        norm_cfg=dict(type='BN'),
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    frozen=['backbone.matching.text.*'],
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size='${crop_size}', stride='${crop_size * 2/3}'),
)
