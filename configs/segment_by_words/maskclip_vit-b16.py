# MaskCLIP as later papers run it: ViT-B/16.
#   python tools/test.py configs/segment_by_words/maskclip_vit-b16.py --dataset ade20k
_base_ = './clearclip_vit-b16.py'

model = dict(clip=dict(vision=dict(local='maskclip')))
