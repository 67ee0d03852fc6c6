# LPT, phase 1 alone, as long as both phases.
#   python tools/train.py configs/lpt/lpt_micro-vit_phase1.py --test
_base_ = './lpt_micro-vit.py'

train_cfg = dict(max_epochs=8)
phases = dict(_delete_=True, shared=dict())
