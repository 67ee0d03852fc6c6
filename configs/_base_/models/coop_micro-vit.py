_base_ = './coop_rn50.py'

model = dict(clip=dict(arch='micro-vit', weights='scenes'))
