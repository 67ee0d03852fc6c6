# Ablation "M": local tokens and prompts under the uniform plan; no transport.
_base_ = './plot_micro-rn_16shot_scenes.py'

model = dict(alignment=dict(_delete_=True, type='vlprompt.UniformAlignment'))
