# Published for all segmentation rows: batch 32, backbone at a tenth of the rate; no gradient clipping.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='vlprompt.PatternOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys={'backbone.[!m]*': dict(lr_mult=0.1)}),  # all of it except DenseCLIP's matching
)
param_scheduler = [
    dict(
        type='vlprompt.WarmupPolyLR',
        by_epoch=False,
        power=0.9,
        eta_min=1e-6,
        warmup=1500,
        warmup_ratio=1e-6,
    )
]

train_cfg = dict(type='IterBasedTrainLoop', max_iters=80000, val_interval=8000)
val_cfg = dict(type='ValLoop')
auto_scale_lr = dict(enable=False, base_batch_size=32)
