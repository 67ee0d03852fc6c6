# CLIP-ReID with overlapping patches, for VehicleID, which has no camera labels for side information.
#   vlprompt train clipreid_vit-b16_olp --dataset vehicleid --test
_base_ = './clipreid_vit-b16.py'

model = dict(clip=dict(vision=dict(patch_stride=12)))
