# PLOT with the built-in micro ViT, in about two minutes on two cores.
#   python tools/train.py configs/plot/plot_micro-vit.py --test
_base_ = './plot_rn50.py'

dataset = 'scenes'
image_size = 128
crop_scale = (0.5, 1.0)  # gentler crops: a scene is recognised by small patterns, which a close crop destroys
model = dict(clip=dict(arch='micro-vit', weights='scenes'))
recipes = [
    dict(train_cfg=dict(max_epochs=25), auto_scale_lr=dict(base_batch_size=32))
]  # more change nothing on the built-in data
test_dataloader = dict(batch_size=100)
