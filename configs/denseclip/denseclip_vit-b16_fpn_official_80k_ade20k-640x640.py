# The published code, defects included: the class embedding is added twice, AdamW reaches the text tower with the
# floor of the schedule (up to 1e-6), and neck and head keep the layers' own initialisation.
#   tools/dist_train.sh configs/denseclip/denseclip_vit-b16_fpn_official_80k_ade20k-640x640.py 8
_base_ = './denseclip_vit-b16_fpn_80k_ade20k-640x640.py'

model = dict(
    backbone=dict(trunk=dict(official=True)),
    neck=dict(init_cfg=None),
    decode_head=dict(init_cfg=None),
    frozen=[],
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'backbone.matching.text': dict(lr_mult=0)}))
