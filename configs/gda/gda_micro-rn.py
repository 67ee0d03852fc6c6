# GDA with the built-in micro ResNet.
#   python tools/train.py configs/gda/gda_micro-rn.py --shots 4 --test
_base_ = './gda_rn50.py'

dataset = 'scenes'
model = dict(clip=dict(arch='micro-rn', weights='scenes'))
