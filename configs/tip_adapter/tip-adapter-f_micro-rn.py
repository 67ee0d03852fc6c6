# Tip-Adapter-F with the built-in micro ResNet.
#   python tools/train.py configs/tip_adapter/tip-adapter-f_micro-rn.py --shots 4 --test
_base_ = './tip-adapter-f_rn50.py'

dataset = 'scenes'
model = dict(clip=dict(arch='micro-rn', weights='scenes'))
