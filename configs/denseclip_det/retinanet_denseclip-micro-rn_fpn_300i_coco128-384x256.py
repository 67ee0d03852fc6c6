# DenseCLIP with the built-in ResNet under RetinaNet, on COCO photographs.
#   vlprompt train retinanet_denseclip-micro-rn_fpn_300i_coco128-384x256 --test
_base_ = [
    '../_base_/models/denseclip_retinanet_micro-rn.py',
    '../_base_/schedules/adamw_step_micro_300i.py',
    '../_base_/default_runtime_det_micro.py',
]

dataset = 'coco128'
image_scale = (384, 256)
model = dict(backbone=dict(clip=dict(image_size=256)))
