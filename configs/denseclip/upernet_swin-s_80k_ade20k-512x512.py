# Baseline without CLIP: ImageNet Swin-S under UperNet.
#   tools/dist_train.sh configs/denseclip/upernet_swin-s_80k_ade20k-512x512.py 8
_base_ = './upernet_swin-t_80k_ade20k-512x512.py'

_weights = dict(
    checkpoint='https://mmassets.onedl.ai/mmsegmentation/v0.5/pretrain/swin/'
    'swin_small_patch4_window7_224_20220317-7ba6d6dd.pth'
)
model = dict(backbone=dict(depths=[2, 2, 18, 2], init_cfg=_weights))
