# The built-in world, made by: vlprompt generate-world --task few-shot --out data/scenes
_base_ = './_shared.py'

train_dataloader = dict(dataset=dict(dataset='scenes'))
val_dataloader = dict(dataset=dict(dataset='scenes'))
test_dataloader = dict(dataset=dict(dataset='scenes'))
