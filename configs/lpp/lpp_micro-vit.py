# LP++ with the built-in micro ViT.
#   python tools/train.py configs/lpp/lpp_micro-vit.py --shots 4 --test
_base_ = './lpp_rn50.py'

dataset = 'scenes'
model = dict(clip=dict(arch='micro-vit', weights='scenes'))
