_base_ = './denseclip_r50_fpn_80k_ade20k-512x512.py'

# Ablation: score maps without supervision of their own.
model = dict(pixel_text_loss=None)
