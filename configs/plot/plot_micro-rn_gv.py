# Ablation "G+V": "G" with a loss that pushes the prompts apart (form and weight are ours: unpublished).
#   vlprompt train plot_micro-rn_gv --test --cfg-options model.prompt.n_prompts=4
_base_ = './plot_micro-rn_g.py'

model = dict(auxiliary_losses=[dict(type='vlprompt.VarietyLoss', weight=1.0)])
