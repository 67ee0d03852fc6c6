# Baseline without text: CLIP's ResNet-50 under RetinaNet.
#   tools/dist_train.sh configs/denseclip_det/retinanet_clip-r50_fpn_1x_coco.py 8
_base_ = [
    '../_base_/models/clip_retinanet_r50.py',
    '../_base_/schedules/adamw_1x.py',
    '../_base_/default_runtime_det.py',
]

dataset = 'coco'
