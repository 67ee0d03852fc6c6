# Ablation "M+V": "M" with a loss that pushes the prompts apart (form and weight are ours: unpublished).
#   vlprompt train plot_micro-rn_mv --test --cfg-options model.prompt.n_prompts=4
_base_ = './plot_micro-rn_m.py'

model = dict(auxiliary_losses=[dict(type='vlprompt.VarietyLoss', weight=1.0)])
