# The built-in world: vlprompt generate-world --task reid --out data/scenes_reid
_base_ = './_shared.py'

# Loaded by the training process itself: small images, and machines with few cores.
train_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(dataset='scenes_reid'))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(dataset='scenes_reid'))
test_dataloader = val_dataloader
