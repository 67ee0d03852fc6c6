# Your own images with annotations in COCO's form: images/{train,val}/ and annotations/instances_{train,val}.json in
# --data-root, see data/README.md.
_base_ = './_shared.py'

data_root = 'data/mine'
classes = None  # all categories of the annotation files, or a list of some of them in the order of the labels

_files = dict(type='vlprompt.CocoInstances', classes='${classes}', masks='${masks}', broken='error')
train_dataloader = dict(dataset=dict(dataset=dict(**_files, split='train')))
val_dataloader = dict(dataset=dict(**_files, split='val'))
test_dataloader = val_dataloader
val_evaluator = dict(type='vlprompt.CocoInstancesMetric', metric='${metrics}')
test_evaluator = val_evaluator
