# Baseline without text: CLIP's ResNet-50 under mmdet's RetinaNet.
_base_ = 'mmdet::_base_/models/retinanet_r50_fpn.py'

task = 'det'
model = dict(
    data_preprocessor=dict(mean=[122.7709383, 116.7460125, 104.09373615], std=[68.5005327, 66.6321579, 70.32316305]),
    backbone=dict(_delete_=True, type='vlprompt.ClipTrunk', clip=dict(arch='RN50', weights='openai')),
    bbox_head=dict(num_classes='${num_classes}'),
)
