# Pre-model prompting: the context vectors of each image come from the image.
#   vlprompt train denseclip_micro-rn_fpn_pre_200i_camvid-192x192 --test
_base_ = './denseclip_micro-rn_fpn_200i_camvid-192x192.py'

model = dict(backbone=dict(matching=dict(prompting='pre')))
