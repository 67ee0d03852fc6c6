# Any backbone: ImageNet ResNet with a new attention pool, matched with the text of CLIP ViT-B/16.
_base_ = './denseclip_fpn_r50.py'

data_preprocessor = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(
        clip=dict(_delete_=True, arch='ViT-B/16', weights='openai'),
        trunk=dict(
            _delete_=True,
            type='vlprompt.AttentionPooledTrunk',
            image_size='${image_size}',
            trunk=dict(
                type='ResNet',
                depth=50,
                out_indices=(0, 1, 2, 3),
                norm_cfg=dict(type='BN'),
                norm_eval=False,
                style='pytorch',
                init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
            ),
        ),
    ),
)
