_base_ = [
    '../_base_/models/denseclip_retinanet_micro-rn.py',
    '../_base_/datasets/coco128_det_384x256.py',
    '../_base_/schedules/adamw_step_micro.py',
    '../_base_/default_runtime_det_micro.py',
]

model = dict(clip=dict(image_size=256), class_names='coco')
param_scheduler = [
    dict(type='vlprompt.WarmupStepLR', by_epoch=False, milestones=[200, 275], gamma=0.1, warmup=50, warmup_ratio=1e-3)
]
train_cfg = dict(max_iters=300, val_interval=150)
auto_scale_lr = dict(base_batch_size=4)
