# DukeMTMC-reID: 702 training and 702 query identities, 8 cameras.
_base_ = './_shared.py'

train_dataloader = dict(dataset=dict(dataset='dukemtmc'))
val_dataloader = dict(dataset=dict(dataset='dukemtmc'))
test_dataloader = dict(dataset=dict(dataset='dukemtmc'))
