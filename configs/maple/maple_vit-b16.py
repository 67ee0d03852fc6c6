# MaPLe: prompts of their own in 9 of 12 blocks of the text tower, from which those of the image tower are computed;
# 3,555,072 trained parameters.
#   python tools/train.py configs/maple/maple_vit-b16.py --dataset caltech101 --shots 16 --seed 1 --test
_base_ = ['../_base_/models/clip_rn50.py', '../_base_/schedules/few_shot.py', '../_base_/default_runtime.py']

dataset, shots = 'caltech101', 16
model = dict(
    clip=dict(arch='ViT-B/16'),
    # "a photo" is learned, "of a" stays as it is.
    prompt=dict(type='vlprompt.ContextPrompt', init='a photo of a', n_ctx=2, depth=9),
    visual=dict(type='vlprompt.CoupledPrompt'),
    alignment=dict(type='vlprompt.CosineAlignment'),
    trainable=['prompt.*', 'visual.*'],
)
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(optimizer=dict(lr=3.5e-3))
train_cfg = dict(max_epochs=5)
auto_scale_lr = dict(base_batch_size=4)
