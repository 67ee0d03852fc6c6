# Ablation: the global logits added to the transport logits.
#   python tools/train.py configs/plot/plot_rn50_global.py --dataset caltech101 --test
_base_ = './plot_rn50.py'

model = dict(alignment=dict(global_weight=1.0))
