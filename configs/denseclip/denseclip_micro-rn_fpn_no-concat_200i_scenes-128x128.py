# Ablation: the text acts through the auxiliary loss only.
#   python tools/train.py configs/denseclip/denseclip_micro-rn_fpn_no-concat_200i_scenes-128x128.py --test
_base_ = './denseclip_micro-rn_fpn_200i_scenes-128x128.py'

model = dict(backbone=dict(score_concat=None))
