# CLIP-ReID: learns identity descriptions, then the image tower, contrasted with them; CLIP's ResNet-50.
#   vlprompt train clipreid_rn50 --dataset market1501 --test
_base_ = [
    '../_base_/models/reid_rn50.py',
    '../_base_/schedules/clipreid_rn50_120e.py',
    '../_base_/default_runtime_reid.py',
]

dataset = 'market1501'

# Differences of the published recipe between datasets: VehicleID has batches of 256 for the prompts, and no label
# smoothing.
recipes = [
    dict(
        model=dict(label_smoothing=0.1),
        optim_wrapper=dict(optimizer=dict(lr=3.5e-4)),
        phases=dict(prompts=dict(train_cfg=dict(max_epochs=60))),
    ),
    dict(
        dataset='vehicleid',
        model=dict(label_smoothing=0.0),
        phases=dict(prompts=dict(train_dataloader=dict(batch_size=256))),
    ),
]
