# Ablation: the global logits added to the transport logits.
#   vlprompt train plot_rn50_global --dataset caltech101 --test
_base_ = './plot_rn50.py'

model = dict(alignment=dict(global_weight=1.0))
