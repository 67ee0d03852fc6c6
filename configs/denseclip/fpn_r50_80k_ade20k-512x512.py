# Baseline without CLIP: ImageNet ResNet-50 under Semantic FPN.
#   tools/dist_train.sh configs/denseclip/fpn_r50_80k_ade20k-512x512.py 8
_base_ = [
    '../_base_/models/fpn_r50.py',
    '../_base_/schedules/adamw_poly_80k.py',
    '../_base_/default_runtime_seg.py',
]

dataset = 'ade20k'
