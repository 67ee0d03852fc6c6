# Deep visual prompts beside a fixed text, with the built-in micro ViT.
#   vlprompt train vpt-deep_micro-vit --test
_base_ = ['./vpt-deep_vit-b16.py', '../_base_/few_shot_scenes.py']

dataset = 'scenes'
model = dict(
    clip=dict(arch='micro-vit', weights='scenes'),
    visual=dict(depth=6),  # the micro image tower has 6 blocks
)
