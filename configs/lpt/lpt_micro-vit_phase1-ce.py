# LPT, phase 1 with cross-entropy of both streams in place of A-GCL.
#   vlprompt train lpt_micro-vit_phase1-ce --test
_base_ = './lpt_micro-vit_phase1.py'

model = dict(
    head=dict(scale=20.0),
    loss=dict(
        balanced=dict(_delete_=True, type='vlprompt.LogitAdjustedLoss', tau=0.0),
        uniform=dict(_delete_=True, type='vlprompt.LogitAdjustedLoss', tau=0.0),
    ),
)
