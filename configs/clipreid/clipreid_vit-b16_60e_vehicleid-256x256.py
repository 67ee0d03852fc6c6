_base_ = [
    '../_base_/models/reid_vit-b16.py',
    '../_base_/datasets/vehicleid_256x256.py',
    '../_base_/schedules/clipreid_vit_60e.py',
    '../_base_/default_runtime.py',
]

model = dict(clip=dict(image_size=(256, 256)))
optim_wrapper = dict(optimizer=dict(lr=5e-5))
phases = dict(
    prompts=dict(
        train_dataloader=dict(batch_size=256),
        param_scheduler=[dict(type='vlprompt.LinearWarmupCosineLR', T_max=60)],
        train_cfg=dict(max_epochs=60),
    )
)
