# CLAP with the built-in micro ResNet.
#   python tools/train.py configs/clap/clap_micro-rn.py --shots 4 --test
_base_ = ['./clap_rn50.py', '../_base_/few_shot_scenes.py']

dataset = 'scenes'
model = dict(clip=dict(arch='micro-rn', weights='scenes'))
