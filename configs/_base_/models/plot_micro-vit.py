_base_ = './plot_rn50.py'

model = dict(clip=dict(arch='micro-vit', weights='scenes'))
