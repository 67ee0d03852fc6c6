# MSMT17: 1041 training identities (train and val) and 3060 test identities, 15 cameras.
_base_ = './_shared.py'

train_dataloader = dict(dataset=dict(dataset='msmt17'))
val_dataloader = dict(dataset=dict(dataset='msmt17'))
test_dataloader = dict(dataset=dict(dataset='msmt17'))
