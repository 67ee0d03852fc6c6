# DenseCLIP with CLIP's ViT-B/16 and Semantic FPN, at 640 x 640 pixels. The tokens have stride 16, so the scores go to
# the third map.
_base_ = './denseclip_fpn_r50.py'

image_size, test_scale = 640, (2048, 640)
model = dict(backbone=dict(clip=dict(arch='ViT-B/16', vision=dict(drop_path=0.1)), score_concat=dict(stage=2)))
