# Re-identification on ViTs: half as many epochs as on ResNets, at a small rate that the method says by dataset.
_base_ = './reid_rn50_120e.py'

optim_wrapper = dict(optimizer=dict(weight_decay=1e-4))
param_scheduler = [
    dict(type='vlprompt.EpochWarmupStepLR', milestones=[30, 50], gamma=0.1, warmup=10, warmup_factor=0.1)
]
train_cfg = dict(max_epochs=60)
