_base_ = './clipreid_micro-vit_20e_scenes_reid-128x64.py'

model = dict(sie=dict(camera=True, coefficient=1.0))
