# Baseline of re-identification: identity and triplet losses on CLIP's ResNet-50.
#   vlprompt train baseline_rn50 --dataset market1501 --test
_base_ = [
    '../_base_/models/reid_rn50.py',
    '../_base_/schedules/reid_rn50_120e.py',
    '../_base_/default_runtime_reid.py',
]

dataset = 'market1501'

# Differences of the published recipe between datasets: no label smoothing on VehicleID.
recipes = [
    dict(model=dict(label_smoothing=0.1), optim_wrapper=dict(optimizer=dict(lr=3.5e-4))),
    dict(dataset='vehicleid', model=dict(label_smoothing=0.0)),
]
