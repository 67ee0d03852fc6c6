# DenseCLIP on an ImageNet Swin-T, under UperNet.
#   tools/dist_train.sh configs/denseclip/denseclip_swin-t_upernet_80k_ade20k-512x512.py 8
_base_ = [
    '../_base_/models/denseclip_upernet_swin-t.py',
    '../_base_/schedules/adamw_poly_80k_denseclip.py',
    '../_base_/default_runtime_seg.py',
]

dataset = 'ade20k'
