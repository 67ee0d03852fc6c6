# Zero-shot CLIP ViT-B/16.
#   python tools/test.py configs/zero_shot/zero-shot_vit-b16.py --dataset caltech101
_base_ = './zero-shot_rn50.py'

model = dict(clip=dict(arch='ViT-B/16'))
