# LIFT: SGD 0.01, batch 128, cosine to 0 without warm-up, 10 epochs; published in fp16 (--amp).
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='vlprompt.PatternOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=5e-4),
)
param_scheduler = dict(type='vlprompt.LinearWarmupCosineLR', warmup=0, eta_min=0.0, first=0)

# No validation set takes part: the last epoch is the result.
train_cfg = dict(by_epoch=True)  # how long, the method says by dataset
auto_scale_lr = dict(enable=False, base_batch_size=128)
