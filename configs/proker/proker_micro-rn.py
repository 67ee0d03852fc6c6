# ProKeR with the built-in micro ResNet.
#   python tools/train.py configs/proker/proker_micro-rn.py --shots 4 --test
_base_ = './proker_rn50.py'

dataset = 'scenes'
model = dict(clip=dict(arch='micro-rn', weights='scenes'))
