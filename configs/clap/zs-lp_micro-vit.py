# ZS-LP with the built-in micro ViT.
#   vlprompt train zs-lp_micro-vit --shots 4 --test
_base_ = ['./zs-lp_rn50.py', '../_base_/few_shot_scenes.py']

dataset = 'scenes'
model = dict(clip=dict(arch='micro-vit', weights='scenes'))
