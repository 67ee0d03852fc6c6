# CLIP-ReID with overlapping patches.
#   vlprompt train clipreid_micro-vit_olp --test
_base_ = './clipreid_micro-vit.py'

model = dict(clip=dict(vision=dict(patch_stride=12)))
