# The published solver: Sinkhorn stops for the whole batch at once, so a prediction depends on its batch.
#   python tools/train.py configs/plot/plot_rn50_official.py --dataset caltech101 --test
_base_ = './plot_rn50.py'

model = dict(alignment=dict(method='legacy', max_iters=100, tol=1e-2))
