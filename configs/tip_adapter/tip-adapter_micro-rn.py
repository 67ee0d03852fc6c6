# Tip-Adapter with the built-in micro ResNet.
#   vlprompt train tip-adapter_micro-rn --shots 4 --test
_base_ = './tip-adapter_rn50.py'

dataset = 'scenes'
model = dict(clip=dict(arch='micro-rn', weights='scenes'))
