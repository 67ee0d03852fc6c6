# Zero-shot classification with the built-in micro ResNet, which needs no download.
#   python tools/test.py configs/zero_shot/zero-shot_micro-rn.py
_base_ = ['./zero-shot_rn50.py', '../_base_/few_shot_scenes.py']

dataset = 'scenes'
model = dict(clip=dict(arch='micro-rn', weights='scenes'))
