# Your own classes, with images/{train,val}/ and annotations/instances_{train,val}.json in data/custom_det: see
# data/README.md. Names of more than 3 tokens need a larger backbone.matching.prompt.context_length.
_base_ = [
    '../_base_/models/denseclip_mask-rcnn_r50.py',
    '../_base_/datasets/coco_json_instance.py',
    '../_base_/schedules/adamw_1x_denseclip.py',
    '../_base_/default_runtime_det.py',
]

_classes = None  # all categories of the annotation files, or a list of some of them in the order of the labels
train_dataloader = dict(dataset=dict(dataset=dict(classes=_classes)))
val_dataloader = dict(dataset=dict(classes=_classes))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=2e-4))
