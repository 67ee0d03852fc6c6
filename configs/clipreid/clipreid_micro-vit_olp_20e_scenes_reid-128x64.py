_base_ = './clipreid_micro-vit_20e_scenes_reid-128x64.py'

model = dict(clip=dict(vision=dict(patch_stride=12)))
