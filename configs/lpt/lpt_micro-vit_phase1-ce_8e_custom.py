_base_ = './lpt_micro-vit_phase1_8e_custom.py'

# Cross-entropy of both streams in place of A-GCL.
model = dict(
    head=dict(scale=20.0),
    loss=dict(
        balanced=dict(_delete_=True, type='vlprompt.LogitAdjustedLoss', tau=0.0),
        uniform=dict(_delete_=True, type='vlprompt.LogitAdjustedLoss', tau=0.0),
    ),
)
