# Ablation: the global logits added to the transport logits.
#   vlprompt train plot_micro-rn_global --test
_base_ = './plot_micro-rn.py'

model = dict(alignment=dict(global_weight=1.0))
