# Your own images, 128 pixels: --data-root DIR
_base_ = [
    '../_base_/models/linear_micro-vit.py',
    '../_base_/datasets/custom_lt_128x128.py',
    '../_base_/schedules/visual_micro.py',
    '../_base_/default_runtime_long_tailed.py',
]

model = dict(trainable=['*'])
optim_wrapper = dict(optimizer=dict(lr=0.01))
train_dataloader = dict(batch_size=32)
