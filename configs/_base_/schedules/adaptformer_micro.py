# Short schedule for the built-in model.
_base_ = './adaptformer_10e.py'

train_cfg = dict(max_epochs=16)
auto_scale_lr = dict(base_batch_size=32)
