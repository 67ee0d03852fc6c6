# Places-LT: 365 classes, 62,500 training images (4,980 to 5 per class). The log shows both conventions of groups.
_base_ = './_shared.py'

train_dataloader = dict(dataset=dict(dataset='places_lt'))
val_dataloader = dict(dataset=dict(dataset='places_lt'))
test_dataloader = dict(dataset=dict(dataset='places_lt'))
