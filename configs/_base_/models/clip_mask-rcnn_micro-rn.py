# Baseline without text: the built-in ResNet under a narrow Mask R-CNN.
_base_ = './clip_mask-rcnn_r50.py'

image_scale = (240, 160)
model = dict(
    backbone=dict(clip=dict(arch='micro-rn', weights='scenes')),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=64, num_outs=4),
    rpn_head=dict(
        in_channels=64, feat_channels=64, anchor_generator=dict(strides=[4, 8, 16, 16], base_sizes=[4, 8, 16, 32])
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=[4, 8, 16, 16], out_channels=64, roi_layer=dict(sampling_ratio=2)),
        bbox_head=dict(in_channels=64, fc_out_channels=128),
        mask_roi_extractor=dict(featmap_strides=[4, 8, 16, 16], out_channels=64, roi_layer=dict(sampling_ratio=2)),
        mask_head=dict(in_channels=64, num_convs=2, conv_out_channels=64),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=200, max_per_img=100),
        rcnn=dict(sampler=dict(num=32)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=100)),
)
