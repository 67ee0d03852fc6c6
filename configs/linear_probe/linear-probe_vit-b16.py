# Linear probe with CLIP ViT-B/16.
#   python tools/train.py configs/linear_probe/linear-probe_vit-b16.py --dataset caltech101 --shots 16 --seed 1 --test
_base_ = './linear-probe_rn50.py'

model = dict(clip=dict(arch='ViT-B/16'))
