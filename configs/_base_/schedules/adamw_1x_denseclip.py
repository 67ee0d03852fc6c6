# Published: no weight decay for parameters with "norm" in their names: 18 tensors, all in the context decoder.
_base_ = './adamw_1x.py'

optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'norm': dict(decay_mult=0)}))
