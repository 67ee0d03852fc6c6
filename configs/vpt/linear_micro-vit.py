# Linear probe: a classifier on the frozen class feature; the built-in micro ViT.
#   vlprompt train linear_micro-vit --test
_base_ = [
    '../_base_/models/linear_micro-vit.py',
    '../_base_/long_tailed_160.py',
    '../_base_/schedules/visual_micro.py',
    '../_base_/default_runtime_long_tailed.py',
]

dataset = 'scenes_lt'
train_dataloader = dict(batch_size=32)
