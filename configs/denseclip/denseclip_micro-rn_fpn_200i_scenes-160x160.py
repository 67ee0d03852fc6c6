# DenseCLIP with the built-in ResNet, on the built-in world.
#   vlprompt train denseclip_micro-rn_fpn_200i_scenes-160x160 --test
_base_ = [
    '../_base_/models/denseclip_fpn_micro-rn.py',
    '../_base_/schedules/adamw_poly_micro.py',
    '../_base_/default_runtime_seg_micro.py',
]

dataset = 'scenes_seg'
