_base_ = './zero-shot_rn50.py'

model = dict(clip=dict(arch='ViT-B/16', weights='openai'))
