# LPT, phase 1 alone, as long as both phases.
#   vlprompt train lpt_micro-vit_phase1 --test
_base_ = './lpt_micro-vit.py'

train_cfg = dict(max_epochs=8)
phases = dict(_delete_=True, shared=dict())
