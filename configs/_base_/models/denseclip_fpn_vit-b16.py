_base_ = './denseclip_fpn_r50.py'

# The tokens have stride 16, so the scores go to the third map.
data_preprocessor = dict(size=(640, 640))
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(
        clip=dict(arch='ViT-B/16', image_size=640, vision=dict(drop_path=0.1)),
        score_concat=dict(stage=2),
    ),
    test_cfg=dict(crop_size=(640, 640), stride=(426, 426)),
)
