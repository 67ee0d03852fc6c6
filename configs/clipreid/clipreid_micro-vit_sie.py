# CLIP-ReID with an embedding of the camera.
#   vlprompt train clipreid_micro-vit_sie --test
_base_ = './clipreid_micro-vit.py'

model = dict(sie=dict(camera=True, coefficient=1.0))
