# Runs of minutes: more log lines and checkpoints.
_base_ = './default_runtime_seg.py'

default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=100))
log_processor = dict(window_size=20)
