# The published code: the position embedding is cropped to the image (sides up to 1344 pixels), neck and heads keep the
# layers' own initialisation, and the text tower, at rate 0, counts in the norm for gradient clipping.
#   tools/dist_train.sh configs/denseclip_det/retinanet_denseclip-r50_fpn_official_1x_coco.py 8
_base_ = './retinanet_denseclip-r50_fpn_1x_coco.py'

model = dict(backbone=dict(clip=dict(vision=dict(interpolation='crop'))), initialise=False, frozen=[])
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'backbone.matching.text': dict(lr_mult=0)}))
