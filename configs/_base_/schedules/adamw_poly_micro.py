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

# Loaded by the training process itself: small images, and machines with few cores.
train_dataloader = dict(batch_size=8, num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = val_dataloader
train_cfg = dict(max_iters=200, val_interval=100)
auto_scale_lr = dict(base_batch_size=8)
