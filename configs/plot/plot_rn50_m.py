# Ablation "M": local tokens and prompts under the uniform plan; no transport.
#   vlprompt train plot_rn50_m --dataset caltech101 --test --cfg-options model.prompt.n_prompts=4
_base_ = './plot_rn50.py'

model = dict(alignment=dict(_delete_=True, type='vlprompt.UniformAlignment'))
