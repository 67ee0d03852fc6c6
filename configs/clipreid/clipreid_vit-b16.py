# CLIP-ReID: learns identity descriptions, then the image tower, contrasted with them; CLIP's ViT-B/16.
#   vlprompt train clipreid_vit-b16 --dataset market1501 --test
_base_ = [
    '../_base_/models/reid_vit-b16.py',
    '../_base_/schedules/clipreid_vit_60e.py',
    '../_base_/default_runtime_reid.py',
]

dataset = 'market1501'

# Differences of the published recipe between datasets: prompts train 120 epochs for persons and 60 for vehicles;
# VehicleID has ten times the learning rate, and batches of 256 for the prompts.
recipes = [
    dict(
        model=dict(label_smoothing=0.1),
        optim_wrapper=dict(optimizer=dict(lr=5e-6)),
        phases=dict(prompts=dict(train_cfg=dict(max_epochs=120))),
    ),
    dict(dataset=('veri', 'vehicleid'), phases=dict(prompts=dict(train_cfg=dict(max_epochs=60)))),
    dict(
        dataset='vehicleid',
        optim_wrapper=dict(optimizer=dict(lr=5e-5)),
        phases=dict(prompts=dict(train_dataloader=dict(batch_size=256))),
    ),
]
