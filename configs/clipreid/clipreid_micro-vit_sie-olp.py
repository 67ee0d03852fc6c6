# CLIP-ReID with overlapping patches and an embedding of the camera.
#   vlprompt train clipreid_micro-vit_sie-olp --test
_base_ = './clipreid_micro-vit.py'

model = dict(clip=dict(vision=dict(patch_stride=12)), sie=dict(camera=True, coefficient=1.0))
