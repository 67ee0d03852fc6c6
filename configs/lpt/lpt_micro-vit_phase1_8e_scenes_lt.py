_base_ = './lpt_micro-vit_2x4e_scenes_lt.py'

# Phase 1 alone, as long as both phases.
param_scheduler = dict(T_max=8)
train_cfg = dict(max_epochs=8)
phases = dict(_delete_=True, shared=dict())
