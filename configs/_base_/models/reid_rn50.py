# Baseline of re-identification: CLIP's ResNet with last stride 1, identity and triplet losses, no text.
_base_ = './reid_vit-b16.py'

model = dict(
    clip=dict(
        _delete_=True,
        arch='RN50',
        weights='openai',
        image_size='${image_size}',
        vision=dict(last_stride=1, interpolation='bilinear'),
    ),
    # ImageNet's, as published.
    data_preprocessor=dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
)
