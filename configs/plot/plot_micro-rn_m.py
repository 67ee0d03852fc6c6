# Ablation "M": local tokens and prompts under the uniform plan; no transport.
#   vlprompt train plot_micro-rn_m --test --cfg-options model.prompt.n_prompts=4
_base_ = './plot_micro-rn.py'

model = dict(alignment=dict(_delete_=True, type='vlprompt.UniformAlignment'))
