# Ablation: the text acts through the auxiliary loss only.
#   vlprompt train denseclip_micro-rn_fpn_no-concat_200i_scenes-160x160 --test
_base_ = './denseclip_micro-rn_fpn_200i_scenes-160x160.py'

model = dict(backbone=dict(score_concat=None))
