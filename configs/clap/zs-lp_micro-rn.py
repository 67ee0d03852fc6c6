# ZS-LP with the built-in micro ResNet.
#   vlprompt train zs-lp_micro-rn --shots 4 --test
_base_ = ['./zs-lp_rn50.py', '../_base_/few_shot_scenes.py']

dataset = 'scenes'
model = dict(clip=dict(arch='micro-rn', weights='scenes'))
