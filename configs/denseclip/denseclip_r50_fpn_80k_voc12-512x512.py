# DenseCLIP with CLIP's ResNet-50, on PASCAL VOC 2012.
#   tools/dist_train.sh configs/denseclip/denseclip_r50_fpn_80k_voc12-512x512.py 8
_base_ = [
    '../_base_/models/denseclip_fpn_r50.py',
    '../_base_/schedules/adamw_poly_80k_denseclip.py',
    '../_base_/default_runtime_seg.py',
]

dataset = 'voc12'
