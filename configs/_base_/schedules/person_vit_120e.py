# Re-identification from person-pretrained ViTs: SGD, 120 epochs of a cosine, the first 20 with a linear warm-up.
train_dataloader = dict(batch_size=64, sampler=dict(batch_size=64, instances=4))
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='vlprompt.PatternOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=4e-4, momentum=0.9, weight_decay=1e-4),
)
param_scheduler = [
    dict(type='vlprompt.LinearWarmupCosineLR', T_max=120, warmup=20, warmup_lr=4e-6, eta_min=8e-7, first=1)
]
train_cfg = dict(by_epoch=True, max_epochs=120)
auto_scale_lr = dict(enable=False, base_batch_size=64)
