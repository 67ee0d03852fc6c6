# VPT's own recipe: SGD base x batch / 256, batch 128, warm-up of 10 epochs from 0, then half a cosine. Rate and
# decay were swept for every dataset, over {50, 25, 10, 5, 2.5, 1, 0.5, 0.25, 0.1} and {1e-2, 1e-3, 1e-4, 0};
# here base 1 and 1e-4.
_base_ = './visual_100e.py'

optim_wrapper = dict(
    optimizer=dict(lr=0.5, weight_decay=1e-4), paramwise_cfg=dict(custom_keys={'head.bias': dict(decay_mult=0.0)})
)
param_scheduler = dict(
    type='vlprompt.LinearWarmupCosineLR', warmup=10, warmup_lr=0.0, eta_min=0.0, first=0, restart=True
)
