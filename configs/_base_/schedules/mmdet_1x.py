# mmdet's schedule and runtime on this package's runner; COCO is loaded as by mmdet, without seeds of its own.
_base_ = ['mmdet::_base_/schedules/schedule_1x.py', 'mmdet::_base_/default_runtime.py']

runner_type = 'vlprompt.PromptRunner'
custom_imports = dict(imports=['vlprompt.datasets.dense.coco_instances'])
recipes = [
    dict(
        dataset='coco',
        train_dataloader=dict(
            num_workers=2, sampler=dict(type='DefaultSampler', shuffle=True), dataset='${_train_set}'
        ),
    ),
]
