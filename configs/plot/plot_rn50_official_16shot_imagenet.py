# The published solver: Sinkhorn stops for the whole batch at once, so a prediction depends on its batch.
_base_ = './plot_rn50_16shot_imagenet.py'

model = dict(alignment=dict(method='legacy', max_iters=100, tol=1e-2))
