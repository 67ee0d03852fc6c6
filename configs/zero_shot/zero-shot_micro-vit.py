# Zero-shot classification with the built-in micro ViT, which needs no download.
#   vlprompt test zero-shot_micro-vit
_base_ = ['./zero-shot_rn50.py', '../_base_/few_shot_scenes.py']

dataset = 'scenes'
model = dict(clip=dict(arch='micro-vit', weights='scenes'))
