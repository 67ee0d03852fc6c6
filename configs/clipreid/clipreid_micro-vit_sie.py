# CLIP-ReID with an embedding of the camera.
#   python tools/train.py configs/clipreid/clipreid_micro-vit_sie.py --test
_base_ = './clipreid_micro-vit.py'

model = dict(sie=dict(camera=True, coefficient=1.0))
