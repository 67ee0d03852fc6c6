_base_ = [
    '../_base_/models/clip_retinanet_micro-rn.py',
    '../_base_/datasets/scenes_det_128x128.py',
    '../_base_/schedules/adamw_step_micro_600i.py',
    '../_base_/default_runtime_det_micro.py',
]

model = dict(bbox_head=dict(num_classes=10))
