_base_ = './denseclip_micro-rn_fpn_200i_scenes-128x128.py'

# Ablation: text that has not seen the image.
model = dict(backbone=dict(matching=dict(context_decoder=None)))
