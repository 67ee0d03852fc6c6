# Stanford Cars: 196 models.
_base_ = './_shared.py'

train_dataloader = dict(dataset=dict(dataset='stanford_cars'))
val_dataloader = dict(dataset=dict(dataset='stanford_cars'))
test_dataloader = dict(dataset=dict(dataset='stanford_cars'))
