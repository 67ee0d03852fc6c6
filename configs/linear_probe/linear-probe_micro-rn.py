# Linear probe with the built-in micro ResNet.
#   vlprompt train linear-probe_micro-rn --shots 4 --test
_base_ = ['./linear-probe_rn50.py', '../_base_/few_shot_scenes.py']

dataset = 'scenes'
model = dict(clip=dict(arch='micro-rn', weights='scenes'))
