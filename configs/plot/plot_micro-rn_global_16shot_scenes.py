# Ablation: the global logits added to the transport logits.
_base_ = './plot_micro-rn_16shot_scenes.py'

model = dict(alignment=dict(global_weight=1.0))
