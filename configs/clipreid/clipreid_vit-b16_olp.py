# Overlapping patches; VehicleID has no camera labels, so no side information there.
#   python tools/train.py configs/clipreid/clipreid_vit-b16_olp.py --dataset vehicleid --test
_base_ = './clipreid_vit-b16.py'

model = dict(clip=dict(vision=dict(patch_stride=12)))
