# Baseline without text: the built-in ResNet pretrained on labels, under a narrow Semantic FPN.
#   python tools/train.py configs/denseclip/fpn_labels-micro-rn_200i_scenes-160x160.py --test
_base_ = './clip_micro-rn_fpn_200i_scenes-160x160.py'

model = dict(backbone=dict(clip=dict(weights='labels')))
