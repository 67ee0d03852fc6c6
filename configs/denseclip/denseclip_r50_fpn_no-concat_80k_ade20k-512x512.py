# Ablation: the text acts through the auxiliary loss only.
#   tools/dist_train.sh configs/denseclip/denseclip_r50_fpn_no-concat_80k_ade20k-512x512.py 8
_base_ = './denseclip_r50_fpn_80k_ade20k-512x512.py'

model = dict(backbone=dict(score_concat=None))
