# Short schedule for the built-in model and data: more epochs change nothing there.
_base_ = './few_shot_50e.py'

param_scheduler = [dict(type='vlprompt.WarmupCosineLR', warmup_epochs=1, warmup_lr=1e-5)]
train_cfg = dict(max_epochs=25)
