# Occluded-Duke: DukeMTMC-reID with occluded queries, 8 cameras.
_base_ = './_shared.py'

train_dataloader = dict(dataset=dict(dataset='occluded_duke'))
val_dataloader = dict(dataset=dict(dataset='occluded_duke'))
test_dataloader = dict(dataset=dict(dataset='occluded_duke'))
