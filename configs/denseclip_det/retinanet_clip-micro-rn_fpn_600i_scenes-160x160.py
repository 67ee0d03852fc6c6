# Baseline without text: the built-in ResNet under RetinaNet, on the built-in world.
#   vlprompt train retinanet_clip-micro-rn_fpn_600i_scenes-160x160 --test
_base_ = [
    '../_base_/models/clip_retinanet_micro-rn.py',
    '../_base_/schedules/adamw_step_micro_600i.py',
    '../_base_/default_runtime_det_micro.py',
]

dataset = 'scenes_det'
