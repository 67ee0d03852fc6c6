# GDA with the built-in micro ViT.
#   python tools/train.py configs/gda/gda_micro-vit.py --shots 4 --test
_base_ = './gda_rn50.py'

dataset, image_size = 'scenes', 160
model = dict(clip=dict(arch='micro-vit', weights='scenes'))
