_base_ = './adamw_step_micro_600i.py'

param_scheduler = [
    dict(
        type='vlprompt.WarmupStepLR',
        by_epoch=False,
        milestones=[200, 275],
        gamma=0.1,
        warmup=50,
        warmup_ratio=1e-3,
    )
]
train_cfg = dict(max_iters=300, val_interval=150)
