# iNaturalist 2018: 8,142 classes, 437,513 training images. Its validation images are the test set.
_base_ = './_shared.py'

train_dataloader = dict(dataset=dict(dataset='inat2018'))
val_dataloader = None
val_evaluator = None
test_dataloader = dict(dataset=dict(dataset='inat2018'))
