# COCO 2017, 80 classes, as in mmdet's base.
_base_ = './_shared.py'

data_root = 'data/coco'
class_names, num_classes = 'coco', 80
_train_set = dict(
    type='CocoDataset',
    data_root='${data_root}',
    ann_file='annotations/instances_train2017.json',
    data_prefix=dict(img='train2017/'),
    filter_cfg=dict(filter_empty_gt=True, min_size=32),
    pipeline='${train_pipeline}',
)

train_dataloader = dict(num_workers=6, dataset=dict(dataset=_train_set))
val_dataloader = dict(
    num_workers=2,
    dataset=dict(
        type='CocoDataset',
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type='vlprompt.CocoInstancesMetric',
    ann_file='${data_root}/annotations/instances_val2017.json',
    metric='${metrics}',
    format_only=False,
)
test_evaluator = val_evaluator
