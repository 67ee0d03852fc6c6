# LP++ with the built-in micro ResNet.
#   vlprompt train lpp_micro-rn --shots 4 --test
_base_ = './lpp_rn50.py'

dataset = 'scenes'
model = dict(clip=dict(arch='micro-rn', weights='scenes'))
