_base_ = './zero-shot_rn50.py'

model = dict(clip=dict(arch='micro-rn', weights='scenes'))
