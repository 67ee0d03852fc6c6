_base_ = './mask-rcnn_denseclip-r50_fpn_1x_coco.py'

# The official code has no working ViT detector. The tokens have stride 16, so the scores go to the third map.
model = dict(
    backbone=dict(
        clip=dict(arch='ViT-B/16', image_size=640, vision=dict(drop_path=0.1)),
        score_concat=dict(stage=2),
    ),
)
