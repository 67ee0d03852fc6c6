# CoOp's recipe for 2 and 4 shots.
_base_ = './few_shot_50e.py'

param_scheduler = [dict(type='vlprompt.WarmupCosineLR', warmup_epochs=1, warmup_lr=1e-5)]
train_cfg = dict(max_epochs=100)
