# MaPLe with the built-in micro ViT, whose towers have 3 and 4 blocks.
#   python tools/train.py configs/maple/maple_micro-vit.py --test
_base_ = './maple_vit-b16.py'

dataset = 'scenes'
image_size = 128
crop_scale = (0.5, 1.0)
model = dict(clip=dict(arch='micro-vit', weights='scenes'), prompt=dict(depth=3))
