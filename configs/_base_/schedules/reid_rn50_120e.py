# Re-identification on ResNets: Adam (its weight decay is a coupled L2 term), steps down after epochs 40 and 70 after a
# warm-up of 10 epochs, biases at twice the rate. Tested after the last epoch.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='vlprompt.PatternOptimWrapperConstructor',
    optimizer=dict(type='Adam', weight_decay=5e-4),
    paramwise_cfg=dict(custom_keys=dict(bias=dict(lr_mult=2.0))),
)
param_scheduler = [
    dict(type='vlprompt.EpochWarmupStepLR', milestones=[40, 70], gamma=0.1, warmup=10, warmup_factor=0.01)
]
train_cfg = dict(by_epoch=True, max_epochs=120)
auto_scale_lr = dict(enable=False, base_batch_size=64)
