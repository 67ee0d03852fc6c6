# CoOp with the built-in micro ResNet, in about a minute on two cores.
#   python tools/train.py configs/coop/coop_micro-rn.py --test
_base_ = './coop_rn50.py'

dataset = 'scenes'
image_size = 128
crop_scale = (0.5, 1.0)  # gentler crops: a scene is recognised by small patterns, which a close crop destroys
model = dict(clip=dict(arch='micro-rn', weights='scenes'))
recipes = [
    dict(train_cfg=dict(max_epochs=25), auto_scale_lr=dict(base_batch_size=32))
]  # more change nothing on the built-in data
