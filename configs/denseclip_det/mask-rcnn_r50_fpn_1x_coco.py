# Baseline without CLIP: mmdet's Mask R-CNN on an ImageNet ResNet-50, trained by SGD.
#   tools/dist_train.sh configs/denseclip_det/mask-rcnn_r50_fpn_1x_coco.py 8
_base_ = ['mmdet::_base_/models/mask-rcnn_r50_fpn.py', '../_base_/schedules/mmdet_1x.py']

task, dataset = 'det', 'coco'
masks, metrics = True, ['bbox', 'segm']
model = dict(roi_head=dict(bbox_head=dict(num_classes='${num_classes}'), mask_head=dict(num_classes='${num_classes}')))
