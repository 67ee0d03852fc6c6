_base_ = './adaptformer_vit-b16.py'

model = dict(clip=dict(arch='micro-vit', weights='scenes'))
