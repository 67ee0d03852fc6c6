# LPT, 40 epochs a phase: SGD 0.02 x batch / 256 with 256 images of each stream, one epoch of warm-up, cosine.
# The weight decay is large on purpose and acts on prompts, keys and head. The published script steps once an epoch,
# which wastes the first one at 1e-6 (see lpt_official_90e.py); here the rate rises within it.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='vlprompt.PatternOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=0.01),
)
param_scheduler = dict(
    type='vlprompt.LinearWarmupCosineLR',
    warmup=1,
    warmup_lr=1e-6,
    eta_min=0.0,
    first=0,
    convert_to_iter_based=True,
)

# No validation set takes part: the last epoch is the result.
train_cfg = dict(by_epoch=True)  # how long, the method says by dataset
auto_scale_lr = dict(enable=False, base_batch_size=256)
