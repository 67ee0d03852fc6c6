_base_ = './clipreid_vit-b16_60e_vehicleid-256x256.py'

# Overlapping patches. There are no camera labels, so no side information.
model = dict(clip=dict(vision=dict(patch_stride=12)))
