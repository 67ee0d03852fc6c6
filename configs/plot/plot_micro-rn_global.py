# Ablation: the global logits added to the transport logits.
#   python tools/train.py configs/plot/plot_micro-rn_global.py --test
_base_ = './plot_micro-rn.py'

model = dict(alignment=dict(global_weight=1.0))
