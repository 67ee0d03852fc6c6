_base_ = './lpt_micro-vit_2x3e_scenes_lt.py'

# Phase 1 alone, as long as both phases.
param_scheduler = dict(T_max=6)
train_cfg = dict(max_epochs=6)
phases = dict(_delete_=True, shared=dict())
