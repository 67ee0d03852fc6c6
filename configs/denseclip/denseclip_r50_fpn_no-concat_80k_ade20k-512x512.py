_base_ = './denseclip_r50_fpn_80k_ade20k-512x512.py'

# Ablation: the text acts through the auxiliary loss only.
model = dict(backbone=dict(score_concat=None))
