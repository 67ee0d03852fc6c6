# The published code, defects included: AdamW reaches the text tower with the floor of the schedule (up to 1e-6), and
# neck and head keep the layers' own initialisation.
#   tools/dist_train.sh configs/denseclip/denseclip_r50_fpn_official_80k_ade20k-512x512.py 8
_base_ = './denseclip_r50_fpn_80k_ade20k-512x512.py'

model = dict(
    neck=dict(init_cfg=None),
    decode_head=dict(init_cfg=None),
    frozen=[],
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'backbone.matching.text': dict(lr_mult=0)}))
