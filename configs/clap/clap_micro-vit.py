# CLAP with the built-in micro ViT.
#   python tools/train.py configs/clap/clap_micro-vit.py --shots 4 --test
_base_ = ['./clap_rn50.py', '../_base_/few_shot_scenes.py']

dataset = 'scenes'
model = dict(clip=dict(arch='micro-vit', weights='scenes'))
