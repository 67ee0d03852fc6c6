# Zero-shot CLIP ViT-B/16.
#   vlprompt test zero-shot_vit-b16 --dataset caltech101
_base_ = './zero-shot_rn50.py'

model = dict(clip=dict(arch='ViT-B/16'))
