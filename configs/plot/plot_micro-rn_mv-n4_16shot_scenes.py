# Ablation "M+V": "M" with a loss that pushes the prompts apart (form and weight are ours: unpublished).
_base_ = './plot_micro-rn_m-n4_16shot_scenes.py'

model = dict(auxiliary_losses=[dict(type='vlprompt.VarietyLoss', weight=1.0)])
