# CLIP-ReID with overlapping patches.
#   python tools/train.py configs/clipreid/clipreid_micro-vit_olp.py --test
_base_ = './clipreid_micro-vit.py'

model = dict(clip=dict(vision=dict(patch_stride=12)))
