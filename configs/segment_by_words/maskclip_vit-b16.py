# MaskCLIP as later papers run it: ViT-B/16.
#   vlprompt test maskclip_vit-b16 --dataset ade20k
_base_ = './clearclip_vit-b16.py'

model = dict(clip=dict(vision=dict(local='maskclip')))
