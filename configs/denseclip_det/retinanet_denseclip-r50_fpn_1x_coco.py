_base_ = [
    '../_base_/models/denseclip_retinanet_r50.py',
    '../_base_/datasets/coco_detection.py',
    '../_base_/schedules/adamw_1x_denseclip.py',
    '../_base_/default_runtime_det.py',
]

model = dict(class_names='coco')
