# CoCoOp with the built-in micro ViT, in about a minute on two cores.
#   python tools/train.py configs/cocoop/cocoop_micro-vit.py --test
_base_ = './cocoop_vit-b16.py'

dataset = 'scenes'
image_size = 128
crop_scale = (0.5, 1.0)  # gentler crops: a scene is recognised by small patterns, which a close crop destroys
model = dict(clip=dict(arch='micro-vit', weights='scenes'))
