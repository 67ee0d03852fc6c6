_base_ = './denseclip_micro-rn_fpn_200i_scenes-128x128.py'

# Ablation: score maps without supervision of their own.
model = dict(pixel_text_loss=None)
