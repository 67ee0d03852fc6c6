_base_ = './lpt_vit-b16-in21k.py'

# The built-in CLIP as trunk, 6 blocks: 10 groups of prompts for the last three.
model = dict(
    timm=None,
    clip=dict(arch='micro-vit', weights='scenes'),
)
phases = dict(groups=dict(model=dict(tuner=dict(pool=dict(size=10, first_block=3)))))
