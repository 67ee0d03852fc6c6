# Ablation: score maps without their own loss.
#   python tools/train.py configs/denseclip/denseclip_micro-rn_fpn_no-aux_200i_scenes-128x128.py --test
_base_ = './denseclip_micro-rn_fpn_200i_scenes-128x128.py'

model = dict(pixel_text_loss=None)
