# VPT-deep: 10 visual prompts in every block of a frozen transformer; classes equally often.
#   vlprompt train vpt_vit-b16-in21k_balanced --dataset places_lt --test
_base_ = [
    '../_base_/models/vpt_vit-b16-in21k.py',
    '../_base_/samplers/class_balanced.py',
    '../_base_/schedules/visual_100e.py',
    '../_base_/default_runtime_long_tailed.py',
]

dataset = 'places_lt'
