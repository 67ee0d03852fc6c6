# CLIP-ReID with overlapping patches and an embedding of the camera.
#   python tools/train.py configs/clipreid/clipreid_micro-vit_sie-olp.py --test
_base_ = './clipreid_micro-vit.py'

model = dict(clip=dict(vision=dict(patch_stride=12)), sie=dict(camera=True, coefficient=1.0))
