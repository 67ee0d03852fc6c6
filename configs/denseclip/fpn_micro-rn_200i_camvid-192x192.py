# The same trunk from random initialisation, which needs the full learning rate.
#   vlprompt train fpn_micro-rn_200i_camvid-192x192 --test
_base_ = './clip_micro-rn_fpn_200i_camvid-192x192.py'

model = dict(backbone=dict(clip=dict(weights=None)))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'backbone.[!m]*': dict(lr_mult=1.0)}))
