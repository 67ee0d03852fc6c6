# CoCoOp with the built-in micro ViT.
#   vlprompt train cocoop_micro-vit --test
_base_ = ['./cocoop_vit-b16.py', '../_base_/few_shot_scenes.py']

dataset = 'scenes'
model = dict(clip=dict(arch='micro-vit', weights='scenes'))
