# ProKeR with the built-in micro ViT.
#   python tools/train.py configs/proker/proker_micro-vit.py --shots 4 --test
_base_ = './proker_rn50.py'

dataset = 'scenes'
model = dict(clip=dict(arch='micro-vit', weights='scenes'))
