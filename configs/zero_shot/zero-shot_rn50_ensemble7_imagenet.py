_base_ = './zero-shot_rn50_imagenet.py'

model = dict(prompt=dict(templates='ensemble-7'))
