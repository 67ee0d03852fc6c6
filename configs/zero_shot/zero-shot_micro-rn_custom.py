# Your own classes, DIR/split.json (data/README.md): --data-root DIR --cfg-options model.class_names=DIR/classnames.txt
_base_ = [
    '../_base_/models/zero-shot_micro-rn.py',
    '../_base_/datasets/split_json_128.py',
    '../_base_/default_runtime.py',
]

model = dict(class_names='data/mine/classnames.txt')
