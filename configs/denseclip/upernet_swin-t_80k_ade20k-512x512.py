# Baseline without CLIP: ImageNet Swin-T under UperNet.
#   tools/dist_train.sh configs/denseclip/upernet_swin-t_80k_ade20k-512x512.py 8
_base_ = [
    '../_base_/models/upernet_swin-t.py',
    '../_base_/schedules/adamw_poly_80k.py',
    '../_base_/default_runtime_seg.py',
]

dataset = 'ade20k'
