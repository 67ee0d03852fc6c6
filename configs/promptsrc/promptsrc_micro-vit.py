# PromptSRC with the built-in micro ViT.
#   vlprompt train promptsrc_micro-vit --test
_base_ = ['./promptsrc_vit-b16.py', '../_base_/few_shot_scenes.py']

dataset = 'scenes'
model = dict(
    clip=dict(arch='micro-vit', weights='scenes'),
    prompt=dict(depth=3),  # the micro text tower has 3 blocks
    visual=dict(depth=5),  # of 6 blocks of the image tower
)
