# On ViTs the prompts get 120 epochs, and the identity losses a quarter of their weight.
_base_ = ['./reid_vit_60e.py', './clipreid_phases.py']

phases = dict(
    prompts=dict(
        train_cfg=dict(max_epochs=120),
    ),
    finetune=dict(model=dict(weights=dict(id=0.25, id_proj=0.25))),
)
