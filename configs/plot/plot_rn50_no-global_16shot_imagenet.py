# Ablation: ImageNet without the global logits.
_base_ = './plot_rn50_16shot_imagenet.py'

model = dict(alignment=dict(global_weight=0.0))
