# DenseCLIP on an ImageNet ResNet-50.
#   tools/dist_train.sh configs/denseclip/denseclip_in1k-r50_fpn_80k_ade20k-512x512.py 8
_base_ = [
    '../_base_/models/denseclip_fpn_in1k-r50.py',
    '../_base_/schedules/adamw_poly_80k_denseclip.py',
    '../_base_/default_runtime_seg.py',
]

dataset = 'ade20k'
