# Ablation "M": local tokens and prompts under the uniform plan; no transport.
_base_ = './plot_rn50_16shot_caltech101.py'

model = dict(alignment=dict(_delete_=True, type='vlprompt.UniformAlignment'))
