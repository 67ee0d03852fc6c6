# Market-1501: 751 training and 750 test identities, 6 cameras.
_base_ = './_shared.py'

train_dataloader = dict(dataset=dict(dataset='market1501'))
val_dataloader = dict(dataset=dict(dataset='market1501'))
test_dataloader = dict(dataset=dict(dataset='market1501'))
