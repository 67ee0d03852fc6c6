# GDA with the built-in micro ViT.
#   vlprompt train gda_micro-vit --shots 4 --test
_base_ = './gda_rn50.py'

dataset = 'scenes'
model = dict(clip=dict(arch='micro-vit', weights='scenes'))
