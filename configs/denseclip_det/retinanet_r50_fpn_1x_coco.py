# ImageNet weights and SGD: mmdet's own config, on this package's runner.
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'

runner_type = 'vlprompt.PromptRunner'
