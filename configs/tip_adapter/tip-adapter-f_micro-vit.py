# Tip-Adapter-F with the built-in micro ViT.
#   vlprompt train tip-adapter-f_micro-vit --shots 4 --test
_base_ = './tip-adapter-f_rn50.py'

dataset = 'scenes'
model = dict(clip=dict(arch='micro-vit', weights='scenes'))
