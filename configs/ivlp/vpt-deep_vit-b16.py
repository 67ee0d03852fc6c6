# VPT on CLIP: deep visual prompts beside the fixed text "a photo of a {}."; 12 x 8 x 768 = 73,728 trained parameters.
#   vlprompt train vpt-deep_vit-b16 --dataset caltech101 --shots 16 --seed 1 --test
# VPT-shallow: 8 x 768 = 6,144 parameters.
#   vlprompt train vpt-deep_vit-b16 --test --cfg-options model.visual.depth=1
_base_ = ['../_base_/models/clip_rn50.py', '../_base_/schedules/few_shot.py', '../_base_/default_runtime.py']

dataset, shots = 'caltech101', 16
model = dict(
    clip=dict(arch='ViT-B/16'),
    prompt=dict(type='vlprompt.TemplatePrompt', templates='a photo of a {}.'),  # for every dataset, as published
    visual=dict(
        type='vlprompt.VisualPrompt',
        length=8,
        depth=12,  # blocks of the image tower with their own tokens
        after_norm=False,
    ),
    alignment=dict(type='vlprompt.CosineAlignment'),
    trainable=['visual.*'],
)
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(optimizer=dict(lr=2.5e-3))
recipes = [dict(train_cfg=dict(max_epochs=5), auto_scale_lr=dict(base_batch_size=4))]
