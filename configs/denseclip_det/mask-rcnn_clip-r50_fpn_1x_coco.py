# Baseline without text: CLIP's ResNet-50 under Mask R-CNN.
#   tools/dist_train.sh configs/denseclip_det/mask-rcnn_clip-r50_fpn_1x_coco.py 8
_base_ = [
    '../_base_/models/clip_mask-rcnn_r50.py',
    '../_base_/schedules/adamw_1x.py',
    '../_base_/default_runtime_det.py',
]

dataset = 'coco'
optim_wrapper = dict(optimizer=dict(lr=2e-4))
