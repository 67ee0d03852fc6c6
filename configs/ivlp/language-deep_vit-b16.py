# Deep text prompts alone: 12 x 4 x 512 = 24,576 trained parameters.
#   vlprompt train language-deep_vit-b16 --dataset caltech101 --shots 16 --seed 1 --test
_base_ = ['../_base_/models/clip_rn50.py', '../_base_/schedules/few_shot.py', '../_base_/default_runtime.py']

dataset, shots = 'caltech101', 16
model = dict(
    clip=dict(arch='ViT-B/16'),
    prompt=dict(
        type='vlprompt.ContextPrompt',
        init='a photo of a',  # 4 vectors
        depth=12,  # blocks of the text tower with their own vectors
    ),
    alignment=dict(type='vlprompt.CosineAlignment'),
    trainable=['prompt.*'],
)
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(optimizer=dict(lr=2.5e-3))
recipes = [dict(train_cfg=dict(max_epochs=5), auto_scale_lr=dict(base_batch_size=4))]
