# Runs of minutes, counted in iterations.
_base_ = './default_runtime_det.py'

default_hooks = dict(
    logger=dict(interval=20, log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=100),
)
log_processor = dict(window_size=20, by_epoch=False)
