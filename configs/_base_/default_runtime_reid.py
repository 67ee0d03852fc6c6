# A run of re-identification, whose images all have one size.
_base_ = './default_runtime.py'

env_cfg = dict(cudnn_benchmark=True)
