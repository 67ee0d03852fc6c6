_base_ = './plot_rn50_gv-n4_16shot_caltech101.py'

model = dict(prompt=dict(n_prompts=2))
