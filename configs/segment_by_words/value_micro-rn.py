# The value path of the built-in ResNet's attention pool, which needs no download, on the built-in world.
#   python tools/test.py configs/segment_by_words/value_micro-rn.py
_base_ = './naclip_micro-vit.py'

model = dict(clip=dict(arch='micro-rn', vision=dict(local='value')))
