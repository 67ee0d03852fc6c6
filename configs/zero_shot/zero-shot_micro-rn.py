# Zero-shot classification with the built-in micro ResNet, which needs no download.
#   vlprompt test zero-shot_micro-rn
_base_ = ['./zero-shot_rn50.py', '../_base_/few_shot_scenes.py']

dataset = 'scenes'
model = dict(clip=dict(arch='micro-rn', weights='scenes'))
