# IVLP with the built-in micro ViT.
#   vlprompt train ivlp_micro-vit --test
_base_ = ['./ivlp_vit-b16.py', '../_base_/few_shot_scenes.py']

dataset = 'scenes'
model = dict(
    clip=dict(arch='micro-vit', weights='scenes'),
    prompt=dict(depth=3),  # the micro text tower has 3 blocks
    visual=dict(depth=6),  # the image tower 6
)
