_base_ = [
    '../_base_/models/denseclip_retinanet_micro-rn.py',
    '../_base_/datasets/scenes_det_128x128.py',
    '../_base_/schedules/adamw_step_micro_600i.py',
    '../_base_/default_runtime_det_micro.py',
]
