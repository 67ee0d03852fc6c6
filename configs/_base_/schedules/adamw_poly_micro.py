# Short schedule for the built-in model, which learns in minutes on one core: batch 8, backbone at a tenth of the rate.
_base_ = './adamw_poly_80k.py'

optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [
    dict(
        type='vlprompt.WarmupPolyLR',
        by_epoch=False,
        power=0.9,
        eta_min=1e-6,
        warmup=20,
        warmup_ratio=1e-6,
    )
]

train_cfg = dict(max_iters=200, val_interval=100)
auto_scale_lr = dict(base_batch_size=8)
