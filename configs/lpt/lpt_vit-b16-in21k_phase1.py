# Row (c) of the ablation: phase 1 alone.
#   vlprompt train lpt_vit-b16-in21k_phase1 --dataset places_lt --test
_base_ = './lpt_vit-b16-in21k.py'

phases = dict(_delete_=True, shared=dict())
