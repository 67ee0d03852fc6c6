# MaPLe on the built-in world and model: python tools/train.py configs/maple/maple_micro-vit_16shot_scenes.py --test
_base_ = [
    '../_base_/models/coop_micro-vit.py',
    '../_base_/datasets/scenes.py',
    '../_base_/schedules/few_shot_50e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    class_names='scenes',
    # The micro towers have 3 and 4 blocks.
    prompt=dict(_delete_=True, type='vlprompt.ContextPrompt', init='a photo of a', n_ctx=2, depth=3),
    visual=dict(type='vlprompt.CoupledPrompt'),
    trainable=['prompt.*', 'visual.*'],
)
train_dataloader = dict(batch_size=4, dataset=dict(shots=16))
optim_wrapper = dict(optimizer=dict(lr=3.5e-3))
param_scheduler = [dict(type='vlprompt.WarmupCosineLR', warmup_epochs=1, warmup_lr=1e-5, T_max=5)]
train_cfg = dict(max_epochs=5)
auto_scale_lr = dict(base_batch_size=4)
