# CoCoOp on the built-in world and model: python tools/train.py configs/cocoop/cocoop_micro-vit_16shot_scenes.py --test
_base_ = [
    '../_base_/models/coop_micro-vit.py',
    '../_base_/datasets/scenes.py',
    '../_base_/schedules/few_shot_50e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    class_names='scenes',
    prompt=dict(_delete_=True, type='vlprompt.ConditionalPrompt', init='a photo of a'),
    trainable=['prompt.*'],
)
train_dataloader = dict(batch_size=1, dataset=dict(shots=16))
param_scheduler = [dict(type='vlprompt.WarmupCosineLR', warmup_epochs=1, warmup_lr=1e-5, T_max=10)]
train_cfg = dict(max_epochs=10)
auto_scale_lr = dict(base_batch_size=1)
