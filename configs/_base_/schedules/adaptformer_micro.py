# Short schedule for the built-in model.
_base_ = './adaptformer_10e.py'

auto_scale_lr = dict(base_batch_size=32)
