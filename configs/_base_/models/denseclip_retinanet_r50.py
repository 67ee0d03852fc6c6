# DenseCLIP under mmdet's RetinaNet.
_base_ = ['mmdet::_base_/models/retinanet_r50_fpn.py', './denseclip_det_r50.py']

task = 'det'
model = dict(
    type='vlprompt.DenseCLIPSingleStage',
    data_preprocessor=dict(mean=[122.7709383, 116.7460125, 104.09373615], std=[68.5005327, 66.6321579, 70.32316305]),
    **_base_._text_guided,
    neck=dict(in_channels=None),
    bbox_head=dict(in_channels=None, num_classes=None),
)
