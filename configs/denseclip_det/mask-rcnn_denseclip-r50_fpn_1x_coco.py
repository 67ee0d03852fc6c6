_base_ = [
    '../_base_/models/denseclip_mask-rcnn_r50.py',
    '../_base_/datasets/coco_instance.py',
    '../_base_/schedules/adamw_1x_denseclip.py',
    '../_base_/default_runtime_det.py',
]

model = dict(class_names='coco')
optim_wrapper = dict(optimizer=dict(lr=2e-4))
