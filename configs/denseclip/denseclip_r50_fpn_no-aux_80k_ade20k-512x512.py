# Ablation: score maps without their own loss.
#   tools/dist_train.sh configs/denseclip/denseclip_r50_fpn_no-aux_80k_ade20k-512x512.py 8
_base_ = './denseclip_r50_fpn_80k_ade20k-512x512.py'

model = dict(pixel_text_loss=None)
