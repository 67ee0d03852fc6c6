# Ablation: the global logits added to the transport logits.
_base_ = './plot_rn50_16shot_caltech101.py'

model = dict(alignment=dict(global_weight=1.0))
