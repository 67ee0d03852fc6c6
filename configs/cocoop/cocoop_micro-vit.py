# CoCoOp with the built-in micro ViT.
#   python tools/train.py configs/cocoop/cocoop_micro-vit.py --test
_base_ = ['./cocoop_vit-b16.py', '../_base_/few_shot_scenes.py']

dataset = 'scenes'
model = dict(clip=dict(arch='micro-vit', weights='scenes'))
