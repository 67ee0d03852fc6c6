# Baseline without text: the built-in ResNet pretrained on labels, under a narrow Semantic FPN.
#   vlprompt train fpn_labels-micro-rn_200i_scenes-160x160 --test
_base_ = './clip_micro-rn_fpn_200i_scenes-160x160.py'

model = dict(backbone=dict(clip=dict(weights='labels')))
