# Half as many steps as adamw_step_micro_600i.py, with batches of 4 larger images.
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
train_dataloader = dict(batch_size=4)
val_dataloader = dict(batch_size=4)
test_dataloader = val_dataloader
auto_scale_lr = dict(base_batch_size=4)
