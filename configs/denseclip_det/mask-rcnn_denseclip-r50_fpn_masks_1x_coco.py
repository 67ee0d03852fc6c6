_base_ = './mask-rcnn_denseclip-r50_fpn_1x_coco.py'

# Scores are held against the objects' masks; what a box holds besides is background.
model = dict(pixel_text_loss=dict(target='masks'))
