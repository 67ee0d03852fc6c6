# CLAP with CLIP ViT-B/16.
#   vlprompt train clap_vit-b16 --dataset caltech101 --shots 16 --seed 1 --test
_base_ = './clap_rn50.py'

model = dict(clip=dict(arch='ViT-B/16'))
