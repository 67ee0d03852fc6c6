# ProKeR with the built-in micro ResNet.
#   vlprompt train proker_micro-rn --shots 4 --test
_base_ = './proker_rn50.py'

dataset = 'scenes'
model = dict(clip=dict(arch='micro-rn', weights='scenes'))
