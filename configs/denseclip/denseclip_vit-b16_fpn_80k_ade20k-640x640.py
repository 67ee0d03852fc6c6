# DenseCLIP with CLIP's ViT-B/16.
#   tools/dist_train.sh configs/denseclip/denseclip_vit-b16_fpn_80k_ade20k-640x640.py 8
_base_ = [
    '../_base_/models/denseclip_fpn_vit-b16.py',
    '../_base_/schedules/adamw_poly_80k_denseclip.py',
    '../_base_/default_runtime_seg.py',
]

dataset = 'ade20k'
