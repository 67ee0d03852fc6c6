_base_ = './plot_micro-rn_m-n4_16shot_scenes.py'

model = dict(prompt=dict(n_prompts=1))
