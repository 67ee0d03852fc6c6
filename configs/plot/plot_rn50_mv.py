# Ablation "M+V": "M" with a loss that pushes the prompts apart (form and weight are ours: unpublished).
#   vlprompt train plot_rn50_mv --test --cfg-options model.prompt.n_prompts=4
_base_ = './plot_rn50_m.py'

model = dict(auxiliary_losses=[dict(type='vlprompt.VarietyLoss', weight=1.0)])
