# Ablation: score maps without their own loss.
#   vlprompt train denseclip_micro-rn_fpn_no-aux_200i_scenes-160x160 --test
_base_ = './denseclip_micro-rn_fpn_200i_scenes-160x160.py'

model = dict(pixel_text_loss=None)
