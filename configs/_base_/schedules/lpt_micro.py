# Short schedule for the built-in model: 4 epochs a phase of two streams, as many images as 16 epochs of one stream.
_base_ = './lpt_40e.py'

optim_wrapper = dict(optimizer=dict(lr=0.05, weight_decay=5e-4))
param_scheduler = dict(warmup=0)
train_cfg = dict(max_epochs=4)
auto_scale_lr = dict(base_batch_size=32)
