# Ablation: text that does not depend on the image; the weight-decay rule for the decoder goes with it.
#   tools/dist_train.sh configs/denseclip/denseclip_r50_fpn_no-decoder_80k_ade20k-512x512.py 8
_base_ = './denseclip_r50_fpn_80k_ade20k-512x512.py'

model = dict(backbone=dict(matching=dict(context_decoder=None)))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'_delete_': True, 'backbone.[!m]*': dict(lr_mult=0.1)}))
