_base_ = [
    '../_base_/models/clip_mask-rcnn_micro-rn.py',
    '../_base_/datasets/scenes_ins_128x128.py',
    '../_base_/schedules/adamw_step_micro_400i.py',
    '../_base_/default_runtime_det_micro.py',
]

model = dict(roi_head=dict(bbox_head=dict(num_classes=10), mask_head=dict(num_classes=10)))
