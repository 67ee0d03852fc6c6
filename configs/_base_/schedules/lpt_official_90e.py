# The values of the published phase-2 script: 90 epochs, the rate steps once an epoch, so the first runs at 1e-6.
_base_ = './lpt_40e.py'

param_scheduler = [dict(type='vlprompt.LinearWarmupCosineLR', T_max=90, warmup=1, warmup_lr=1e-6, eta_min=0.0, first=0)]
train_cfg = dict(max_epochs=90)
