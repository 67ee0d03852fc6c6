# CoOp's recipe: SGD, one warm-up epoch, then half a cosine. How long, the method says by shots and dataset.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='vlprompt.PatternOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=2e-3, momentum=0.9, weight_decay=5e-4),
)
param_scheduler = [dict(type='vlprompt.WarmupCosineLR', warmup_epochs=1, warmup_lr=1e-5)]  # as long as the training

# No validation set takes part: the last epoch is the result.
train_cfg = dict(by_epoch=True)
