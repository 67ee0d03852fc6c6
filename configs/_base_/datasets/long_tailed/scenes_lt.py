# The built-in world: vlprompt generate-world --task long-tailed --out data/scenes_lt
# 40 classes, 1,542 training images (150 to 3 per class).
_base_ = './_shared.py'

train_dataloader = dict(dataset=dict(dataset='scenes_lt'))
val_dataloader = dict(dataset=dict(dataset='scenes_lt'))
test_dataloader = dict(dataset=dict(dataset='scenes_lt'))
