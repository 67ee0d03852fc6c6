_base_ = './zero-shot_vit-b16_imagenet.py'

model = dict(prompt=dict(templates='ensemble-80'))
