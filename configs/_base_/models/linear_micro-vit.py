_base_ = './linear_vit-b16-in21k.py'

# The built-in CLIP as trunk.
model = dict(
    timm=None,
    clip=dict(arch='micro-vit', weights='scenes'),
)
