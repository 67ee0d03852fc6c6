# The recipe of CLIP-LoRA and 2SFS: AdamW, half a cosine over all steps without warm-up, steps instead of epochs. The
# method sets the number of steps by shots, with train_cfg.max_iters.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='vlprompt.PatternOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=2e-4, betas=(0.9, 0.999), weight_decay=1e-2),
)
param_scheduler = [
    dict(type='vlprompt.LinearWarmupCosineLR', by_epoch=False, warmup=0, first=0, eta_min=1e-6)  # from lr at step 0
]

train_cfg = dict(type='vlprompt.StepTrainLoop')
train_dataloader = dict(batch_sampler=None, sampler=dict(pad=True))  # an epoch keeps its last, shorter batch
auto_scale_lr = dict(base_batch_size=32)
