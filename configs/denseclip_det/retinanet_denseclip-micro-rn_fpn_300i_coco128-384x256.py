_base_ = [
    '../_base_/models/denseclip_retinanet_micro-rn.py',
    '../_base_/datasets/coco128_det_384x256.py',
    '../_base_/schedules/adamw_step_micro_300i.py',
    '../_base_/default_runtime_det_micro.py',
]

model = dict(backbone=dict(clip=dict(image_size=256)), class_names='coco')
auto_scale_lr = dict(base_batch_size=4)
