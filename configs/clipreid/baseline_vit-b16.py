# Baseline of re-identification: identity and triplet losses on CLIP's ViT-B/16.
#   python tools/train.py configs/clipreid/baseline_vit-b16.py --dataset market1501 --test
_base_ = [
    '../_base_/models/reid_vit-b16.py',
    '../_base_/schedules/reid_vit_60e.py',
    '../_base_/default_runtime.py',
]

dataset = 'market1501'

# What the published recipe varies by dataset: VehicleID takes ten times the rate, and labels are not smoothed.
recipes = [
    dict(model=dict(label_smoothing=0.1), optim_wrapper=dict(optimizer=dict(lr=5e-6))),
    dict(dataset='vehicleid', model=dict(label_smoothing=0.0), optim_wrapper=dict(optimizer=dict(lr=5e-5))),
]
