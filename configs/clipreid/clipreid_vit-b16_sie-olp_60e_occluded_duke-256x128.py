_base_ = './clipreid_vit-b16_60e_occluded_duke-256x128.py'

# Overlapping patches, and an embedding of the camera.
model = dict(clip=dict(vision=dict(patch_stride=12)), sie=dict(camera=True, coefficient=1.0))
