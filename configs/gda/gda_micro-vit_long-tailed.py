# GDA on the long-tailed built-in world, with the built-in micro ViT.
#   vlprompt train gda_micro-vit_long-tailed --test
_base_ = './gda_vit-b16_long-tailed.py'

dataset = 'scenes_lt'
model = dict(clip=dict(arch='micro-vit', weights='scenes'))
