_base_ = './lpt_micro-vit_2x2e_scenes_lt.py'

# Phase 1 alone, as long as both phases.
param_scheduler = dict(T_max=4)
train_cfg = dict(max_epochs=4)
phases = dict(_delete_=True, shared=dict())
