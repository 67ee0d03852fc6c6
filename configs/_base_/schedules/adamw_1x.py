# Published for all detection rows: batch 16, 12 epochs, backbone at a tenth of the rate, gradients clipped. A leaf sets
# the rate: 1e-4 for RetinaNet, 2e-4 for Mask R-CNN.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='vlprompt.PatternOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys={'backbone.[!m]*': dict(lr_mult=0.1)}),  # all of it except DenseCLIP's matching
    clip_grad=dict(max_norm=0.1, norm_type=2),
)
param_scheduler = [
    dict(
        type='vlprompt.WarmupStepLR',
        milestones=[8, 11],
        gamma=0.1,
        warmup=500,
        warmup_ratio=1e-3,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]

train_cfg = dict(by_epoch=True, max_epochs=12, val_interval=1)
val_cfg = dict()
auto_scale_lr = dict(enable=False, base_batch_size=16)
