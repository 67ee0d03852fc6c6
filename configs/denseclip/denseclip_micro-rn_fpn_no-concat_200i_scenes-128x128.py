_base_ = './denseclip_micro-rn_fpn_200i_scenes-128x128.py'

# Ablation: the text acts through the auxiliary loss only.
model = dict(backbone=dict(score_concat=None))
