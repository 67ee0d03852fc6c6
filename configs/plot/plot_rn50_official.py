# The published solver: Sinkhorn stops for the whole batch at once, so a prediction depends on its batch.
#   vlprompt train plot_rn50_official --dataset caltech101 --test
_base_ = './plot_rn50.py'

model = dict(alignment=dict(method='legacy', max_iters=100, tol=1e-2))
