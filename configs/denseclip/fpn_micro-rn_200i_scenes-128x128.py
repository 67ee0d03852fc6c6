_base_ = './clip_micro-rn_fpn_200i_scenes-128x128.py'

# The same trunk from random initialisation, which needs the full learning rate.
model = dict(backbone=dict(clip=dict(weights=None)))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'backbone.[!m]*': dict(lr_mult=1.0)}))
