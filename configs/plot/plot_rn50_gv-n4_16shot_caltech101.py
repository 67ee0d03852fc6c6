# Ablation "G+V": "G" with a loss that pushes the prompts apart (form and weight are ours: unpublished).
_base_ = './plot_rn50_g-n4_16shot_caltech101.py'

model = dict(auxiliary_losses=[dict(type='vlprompt.VarietyLoss', weight=1.0)])
