# Linear probe: a classifier on the frozen class feature; classes equally often; the built-in micro ViT.
#   vlprompt train linear_micro-vit_balanced --test
_base_ = [
    '../_base_/models/linear_micro-vit.py',
    '../_base_/long_tailed_160.py',
    '../_base_/samplers/class_balanced.py',
    '../_base_/schedules/visual_micro.py',
    '../_base_/default_runtime_long_tailed.py',
]

dataset = 'scenes_lt'
train_dataloader = dict(batch_size=32)
