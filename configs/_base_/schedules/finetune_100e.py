# Full fine-tuning as in LPT's comparison: the recipe of the baselines, with a warm-up that starts at 1e-4.
_base_ = './visual_100e.py'

param_scheduler = dict(warmup_lr=1e-4)
