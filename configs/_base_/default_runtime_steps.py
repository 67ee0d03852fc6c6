# Shared by classification runs that count iterations instead of epochs.
_base_ = './default_runtime.py'

default_hooks = dict(
    logger=dict(interval=50, log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=500),
)
log_processor = dict(window_size=50, by_epoch=False)
