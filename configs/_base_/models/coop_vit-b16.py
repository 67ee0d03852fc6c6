_base_ = './coop_rn50.py'

model = dict(clip=dict(arch='ViT-B/16', weights='openai'))
