# Your own classes, DIR/split.json (data/README.md): --data-root DIR --cfg-options model.class_names=DIR/classnames.txt
_base_ = [
    '../_base_/models/coop_rn50.py',
    '../_base_/datasets/split_json.py',
    '../_base_/schedules/few_shot_200e.py',
    '../_base_/default_runtime.py',
]

model = dict(class_names='data/mine/classnames.txt')
train_dataloader = dict(dataset=dict(shots=16))
