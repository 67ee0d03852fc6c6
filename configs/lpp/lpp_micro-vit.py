# LP++ with the built-in micro ViT.
#   vlprompt train lpp_micro-vit --shots 4 --test
_base_ = './lpp_rn50.py'

dataset = 'scenes'
model = dict(clip=dict(arch='micro-vit', weights='scenes'))
