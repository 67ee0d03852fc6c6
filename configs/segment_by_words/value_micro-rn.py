# The value path of the built-in ResNet's attention pool, which needs no download, on the built-in world.
#   vlprompt test value_micro-rn
_base_ = './naclip_micro-vit.py'

model = dict(clip=dict(arch='micro-rn', vision=dict(local='value')))
