# CLAP with the built-in micro ResNet.
#   vlprompt train clap_micro-rn --shots 4 --test
_base_ = ['./clap_rn50.py', '../_base_/few_shot_scenes.py']

dataset = 'scenes'
model = dict(clip=dict(arch='micro-rn', weights='scenes'))
