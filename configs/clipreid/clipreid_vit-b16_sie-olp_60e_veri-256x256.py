_base_ = './clipreid_vit-b16_60e_veri-256x256.py'

# Overlapping patches, and an embedding of the camera and viewpoint.
model = dict(clip=dict(vision=dict(patch_stride=12)), sie=dict(camera=True, view=True, coefficient=1.0))
