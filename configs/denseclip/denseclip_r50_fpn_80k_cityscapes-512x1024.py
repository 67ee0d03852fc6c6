# DenseCLIP with CLIP's ResNet-50, on Cityscapes.
#   tools/dist_train.sh configs/denseclip/denseclip_r50_fpn_80k_cityscapes-512x1024.py 8
_base_ = [
    '../_base_/models/denseclip_fpn_r50.py',
    '../_base_/schedules/adamw_poly_80k_denseclip.py',
    '../_base_/default_runtime_seg.py',
]

dataset = 'cityscapes'
image_size = crop_size = (512, 1024)
test_scale = (2048, 1024)
