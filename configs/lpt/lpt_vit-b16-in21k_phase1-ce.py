# Row (b) of the ablation: phase 1 with cross-entropy of both streams, at the same scale, in place of A-GCL.
#   vlprompt train lpt_vit-b16-in21k_phase1-ce --dataset places_lt --test
_base_ = './lpt_vit-b16-in21k_phase1.py'

model = dict(
    head=dict(scale=20.0),
    loss=dict(
        balanced=dict(_delete_=True, type='vlprompt.LogitAdjustedLoss', tau=0.0),
        uniform=dict(_delete_=True, type='vlprompt.LogitAdjustedLoss', tau=0.0),
    ),
)
