# Short schedule for the built-in models: 20 epochs, steps down after 13 and 17.
_base_ = './reid_rn50_120e.py'

optim_wrapper = dict(optimizer=dict(lr=3.5e-4, weight_decay=5e-4))
param_scheduler = [dict(type='vlprompt.EpochWarmupStepLR', milestones=[13, 17], gamma=0.1, warmup=4, warmup_factor=0.1)]
train_cfg = dict(max_epochs=20)
