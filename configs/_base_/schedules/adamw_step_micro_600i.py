# Short schedule for the built-in model, which learns in minutes on one core: batch 8, backbone at a tenth of the rate.
_base_ = './adamw_1x.py'

optim_wrapper = dict(optimizer=dict(lr=1e-3), clip_grad=dict(max_norm=5))
param_scheduler = [
    dict(
        type='vlprompt.WarmupStepLR',
        by_epoch=False,
        milestones=[400, 550],
        gamma=0.1,
        warmup=50,
        warmup_ratio=1e-3,
    )
]

# Loaded by the training process itself: small images, and machines with few cores.
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='vlprompt.InfiniteEpochSampler', shuffle=True),
    batch_sampler=None,
)
val_dataloader = dict(batch_size=8, num_workers=0, persistent_workers=False)
test_dataloader = val_dataloader
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=600, val_interval=200)
auto_scale_lr = dict(base_batch_size=8)
