# COCO 2017 with masks as mmdet's base has it, 2 images on each of 8 GPUs; samples depend on seed and epoch only.
_base_ = 'mmdet::_base_/datasets/coco_instance.py'

data_root = 'data/coco'
train_dataloader = dict(
    num_workers=6,
    sampler=dict(_delete_=True, type='vlprompt.EpochSampler', shuffle=True, pad=True),
    dataset=dict(
        _delete_=True,
        type='vlprompt.SeededDataset',
        seed=1,
        dataset=dict(_base_.train_dataloader.dataset, data_root='${data_root}'),
    ),
)
val_dataloader = dict(dataset=dict(data_root='${data_root}'))
test_dataloader = dict(dataset=dict(data_root='${data_root}'))
val_evaluator = dict(ann_file='${data_root}/annotations/instances_val2017.json')
test_evaluator = dict(ann_file='${data_root}/annotations/instances_val2017.json')
