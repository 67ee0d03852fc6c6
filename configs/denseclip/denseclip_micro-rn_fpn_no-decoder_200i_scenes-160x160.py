# Ablation: text that does not depend on the image.
#   vlprompt train denseclip_micro-rn_fpn_no-decoder_200i_scenes-160x160 --test
_base_ = './denseclip_micro-rn_fpn_200i_scenes-160x160.py'

model = dict(backbone=dict(matching=dict(context_decoder=None)))
