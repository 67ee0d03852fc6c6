# Baseline of re-identification: identity and triplet losses on CLIP's ViT-B/16.
#   vlprompt train baseline_vit-b16 --dataset market1501 --test
_base_ = [
    '../_base_/models/reid_vit-b16.py',
    '../_base_/schedules/reid_vit_60e.py',
    '../_base_/default_runtime_reid.py',
]

dataset = 'market1501'

# Differences of the published recipe between datasets: VehicleID has ten times the rate, and no label smoothing.
recipes = [
    dict(model=dict(label_smoothing=0.1), optim_wrapper=dict(optimizer=dict(lr=5e-6))),
    dict(dataset='vehicleid', model=dict(label_smoothing=0.0), optim_wrapper=dict(optimizer=dict(lr=5e-5))),
]
