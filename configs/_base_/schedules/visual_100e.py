# LPT's recipe for its linear and VPT baselines: SGD 0.01 x batch / 256, batch 128, 10 epochs of warm-up, cosine.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='vlprompt.PatternOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=0.005, momentum=0.9, weight_decay=0.01),
)
param_scheduler = dict(type='vlprompt.LinearWarmupCosineLR', warmup=10, warmup_lr=1e-6, eta_min=0.0, first=0)

# Validation does not select a checkpoint: the last epoch is the result.
train_cfg = dict(by_epoch=True, max_epochs=100)
auto_scale_lr = dict(enable=False, base_batch_size=128)
