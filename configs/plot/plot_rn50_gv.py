# Ablation "G+V": "G" with a loss that pushes the prompts apart (form and weight are ours: unpublished).
#   vlprompt train plot_rn50_gv --test --cfg-options model.prompt.n_prompts=4
_base_ = './plot_rn50_g.py'

model = dict(auxiliary_losses=[dict(type='vlprompt.VarietyLoss', weight=1.0)])
