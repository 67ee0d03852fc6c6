# Ablation: ImageNet without the global logits.
#   vlprompt train plot_rn50_no-global --dataset imagenet --test
_base_ = './plot_rn50.py'

dataset = 'imagenet'
model = dict(alignment=dict(global_weight=0.0))
