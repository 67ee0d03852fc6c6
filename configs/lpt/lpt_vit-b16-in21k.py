# LPT, both phases: shared visual prompts, then groups of prompts that images choose by matching keys.
#   vlprompt train lpt_vit-b16-in21k --dataset places_lt --test
_base_ = [
    '../_base_/models/lpt_vit-b16-in21k.py',
    '../_base_/samplers/dual_stream.py',
    '../_base_/schedules/lpt_40e.py',
    '../_base_/default_runtime_long_tailed.py',
]

dataset = 'places_lt'
train_dataloader = dict(batch_size=256)  # of each stream
# Epochs of a phase.
recipes = [
    dict(train_cfg=dict(max_epochs=40)),
    dict(dataset='inat2018', train_cfg=dict(max_epochs=80)),
]
