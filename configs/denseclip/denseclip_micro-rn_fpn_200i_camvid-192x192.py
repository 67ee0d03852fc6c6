# DenseCLIP with the built-in ResNet, on CamVid.
#   vlprompt train denseclip_micro-rn_fpn_200i_camvid-192x192 --test
_base_ = [
    '../_base_/models/denseclip_fpn_micro-rn.py',
    '../_base_/schedules/adamw_poly_micro.py',
    '../_base_/default_runtime_seg_micro.py',
]

dataset = 'camvid'
image_size, test_scale = 192, (768, 192)
