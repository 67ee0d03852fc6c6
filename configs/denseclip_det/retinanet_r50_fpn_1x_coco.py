# Baseline without CLIP: mmdet's RetinaNet on an ImageNet ResNet-50, trained by SGD.
#   tools/dist_train.sh configs/denseclip_det/retinanet_r50_fpn_1x_coco.py 8
_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py',
    '../_base_/schedules/mmdet_1x.py',
    'mmdet::retinanet/retinanet_tta.py',
]

task, dataset = 'det', 'coco'
model = dict(bbox_head=dict(num_classes='${num_classes}'))
optim_wrapper = dict(optimizer=dict(lr=0.01))
