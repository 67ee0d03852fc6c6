# MaPLe with the built-in micro ViT, in about a minute on two cores.
#   python tools/train.py configs/maple/maple_micro-vit.py --test
_base_ = './maple_vit-b16.py'

dataset = 'scenes'
image_size = 128
crop_scale = (0.5, 1.0)  # gentler crops: a scene is recognised by small patterns, which a close crop destroys
model = dict(
    clip=dict(arch='micro-vit', weights='scenes'),
    prompt=dict(depth=3),  # the micro towers have 3 and 4 blocks
)
