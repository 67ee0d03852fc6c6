_base_ = [
    '../_base_/models/reid_vit-b16.py',
    '../_base_/datasets/veri_256x256.py',
    '../_base_/schedules/clipreid_vit_60e.py',
    '../_base_/default_runtime.py',
]

model = dict(clip=dict(image_size=(256, 256)))
phases = dict(
    prompts=dict(
        param_scheduler=[dict(type='vlprompt.LinearWarmupCosineLR', T_max=60)],
        train_cfg=dict(max_epochs=60),
    )
)
