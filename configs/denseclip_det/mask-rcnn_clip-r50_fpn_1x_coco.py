_base_ = [
    '../_base_/models/clip_mask-rcnn_r50.py',
    '../_base_/datasets/coco_instance.py',
    '../_base_/schedules/adamw_1x.py',
    '../_base_/default_runtime_det.py',
]

optim_wrapper = dict(optimizer=dict(lr=2e-4))
