# CoCoOp with 16 shots: python tools/train.py configs/cocoop/cocoop_vit-b16_16shot_caltech101.py --test
_base_ = [
    '../_base_/models/coop_vit-b16.py',
    '../_base_/datasets/caltech101.py',
    '../_base_/schedules/few_shot_50e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    class_names='caltech101',
    # 4 x 512 + 33,312 = 35,360 trained parameters; 41,504 with 16 vectors (init=None, n_ctx=16).
    prompt=dict(_delete_=True, type='vlprompt.ConditionalPrompt', init='a photo of a'),
    trainable=['prompt.*'],
)
# The text tower runs for every image: one image a step, as published.
train_dataloader = dict(batch_size=1, dataset=dict(shots=16))
param_scheduler = [dict(type='vlprompt.WarmupCosineLR', warmup_epochs=1, warmup_lr=1e-5, T_max=10)]
train_cfg = dict(max_epochs=10)
auto_scale_lr = dict(base_batch_size=1)
