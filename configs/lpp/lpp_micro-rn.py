# LP++ with the built-in micro ResNet.
#   python tools/train.py configs/lpp/lpp_micro-rn.py --shots 4 --test
_base_ = './lpp_rn50.py'

dataset = 'scenes'
model = dict(clip=dict(arch='micro-rn', weights='scenes'))
