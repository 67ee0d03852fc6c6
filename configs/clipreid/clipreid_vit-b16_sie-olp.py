# CLIP-ReID with overlapping patches and an embedding of the camera; on VeRi also of the viewpoint.
#   vlprompt train clipreid_vit-b16_sie-olp --dataset market1501 --test
_base_ = './clipreid_vit-b16_olp.py'

model = dict(sie=dict(camera=True, coefficient=1.0))
recipes = [*_base_.recipes, dict(dataset='veri', model=dict(sie=dict(view=True)))]
