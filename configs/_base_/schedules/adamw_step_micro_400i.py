# As adamw_step_micro_600i.py, 400 steps.
_base_ = './adamw_step_micro_600i.py'

param_scheduler = [
    dict(
        type='vlprompt.WarmupStepLR',
        by_epoch=False,
        milestones=[270, 370],
        gamma=0.1,
        warmup=50,
        warmup_ratio=1e-3,
    )
]
train_cfg = dict(max_iters=400)
