# LPT, phase 1 alone, for official phase-1 files.
#   vlprompt train lpt_vit-b16-in21k_official-phase1 --dataset places_lt --test
_base_ = './lpt_vit-b16-in21k_official.py'

phases = dict(_delete_=True, shared=dict())
