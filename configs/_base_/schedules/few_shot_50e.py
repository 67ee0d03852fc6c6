# CoOp's recipe for 1 shot, and for ImageNet with any number of shots: SGD, one warm-up epoch, half a cosine.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='vlprompt.PatternOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=2e-3, momentum=0.9, weight_decay=5e-4),
)
param_scheduler = [dict(type='vlprompt.WarmupCosineLR', warmup_epochs=1, warmup_lr=1e-5)]

# No validation set takes part: the last epoch is the result.
train_cfg = dict(by_epoch=True, max_epochs=50)
auto_scale_lr = dict(enable=False, base_batch_size=32)
