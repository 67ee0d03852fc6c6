# Short schedule for the built-in model: batch 32, 1 epoch of warm-up.
_base_ = './visual_100e.py'

optim_wrapper = dict(optimizer=dict(lr=0.05, weight_decay=5e-4))
param_scheduler = dict(warmup=1)
train_cfg = dict(max_epochs=16)
auto_scale_lr = dict(base_batch_size=32)
