# Baseline without text: the built-in ResNet under Mask R-CNN, on the built-in world.
#   vlprompt train mask-rcnn_clip-micro-rn_fpn_400i_scenes-160x160 --test
_base_ = [
    '../_base_/models/clip_mask-rcnn_micro-rn.py',
    '../_base_/schedules/adamw_step_micro_400i.py',
    '../_base_/default_runtime_det_micro.py',
]

dataset = 'scenes_det'
