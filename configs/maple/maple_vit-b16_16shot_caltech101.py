# MaPLe with 16 shots: python tools/train.py configs/maple/maple_vit-b16_16shot_caltech101.py --test
_base_ = [
    '../_base_/models/coop_vit-b16.py',
    '../_base_/datasets/caltech101.py',
    '../_base_/schedules/few_shot_50e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    class_names='caltech101',
    # "a photo" is learned, "of a" stays; vectors of their own in 9 of 12 blocks. 3,555,072 trained parameters.
    prompt=dict(_delete_=True, type='vlprompt.ContextPrompt', init='a photo of a', n_ctx=2, depth=9),
    visual=dict(type='vlprompt.CoupledPrompt'),
    trainable=['prompt.*', 'visual.*'],
)
train_dataloader = dict(batch_size=4, dataset=dict(shots=16))
optim_wrapper = dict(optimizer=dict(lr=3.5e-3))
param_scheduler = [dict(type='vlprompt.WarmupCosineLR', warmup_epochs=1, warmup_lr=1e-5, T_max=5)]
train_cfg = dict(max_epochs=5)
auto_scale_lr = dict(base_batch_size=4)
