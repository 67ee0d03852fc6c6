# Baseline of re-identification: identity and triplet losses on the built-in micro ViT.
#   vlprompt train baseline_micro-vit --test
_base_ = [
    '../_base_/models/reid_micro-vit.py',
    '../_base_/schedules/reid_micro_20e.py',
    '../_base_/default_runtime_reid.py',
]

dataset = 'scenes_reid'
train_dataloader = dict(num_workers=0, persistent_workers=False)  # small images, machines with few cores
