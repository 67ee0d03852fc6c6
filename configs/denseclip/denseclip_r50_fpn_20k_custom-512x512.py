# Your own classes, with images/{train,val}/, masks/{train,val}/ and classnames.txt in data/custom: see data/README.md.
# The names are those of classnames.txt; more than 3 tokens need a larger backbone.matching.prompt.context_length.
_base_ = [
    '../_base_/models/denseclip_fpn_r50.py',
    '../_base_/datasets/folder_seg.py',
    '../_base_/schedules/adamw_poly_80k_denseclip.py',
    '../_base_/default_runtime_seg.py',
]

train_cfg = dict(max_iters=20000, val_interval=2000)
param_scheduler = [
    dict(
        type='vlprompt.WarmupPolyLR',
        by_epoch=False,
        T_max=20000,
        power=0.9,
        eta_min=1e-6,
        warmup=1500,
        warmup_ratio=1e-6,
    )
]
default_hooks = dict(checkpoint=dict(interval=2000))
