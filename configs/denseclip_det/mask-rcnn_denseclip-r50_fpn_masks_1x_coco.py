# Scores are supervised by the objects' masks; the rest of a box is background.
#   tools/dist_train.sh configs/denseclip_det/mask-rcnn_denseclip-r50_fpn_masks_1x_coco.py 8
_base_ = './mask-rcnn_denseclip-r50_fpn_1x_coco.py'

model = dict(pixel_text_loss=dict(target='masks'))
