# PromptSRC: independent deep prompts in both towers, held near the frozen CLIP; 9 x 4 x (512 + 768) = 46,080 trained
# parameters. This is the recipe for base-to-new experiments.
#   vlprompt train promptsrc_vit-b16 --dataset dtd --work-dir w/base \
#       --cfg-options subset=base
#   vlprompt test promptsrc_vit-b16 w/base/epoch_20.pth --dataset dtd --other-classes \
#       --cfg-options subset=new
_base_ = ['../_base_/models/clip_rn50.py', '../_base_/schedules/few_shot.py', '../_base_/default_runtime.py']

dataset, shots = 'caltech101', 16
model = dict(
    type='vlprompt.SelfRegulatedClassifier',
    clip=dict(arch='ViT-B/16'),
    prompt=dict(
        type='vlprompt.ContextPrompt',
        init='a photo of a',  # 4 vectors
        depth=9,  # blocks of the text tower with their own vectors
    ),
    visual=dict(
        type='vlprompt.VisualPrompt',
        length=4,
        depth=9,  # blocks of the image tower with their own tokens
        after_norm=False,
    ),
    alignment=dict(type='vlprompt.CosineAlignment'),
    trainable=['prompt.*', 'visual.*'],
    teacher=dict(type='vlprompt.TemplatePrompt', templates='ensemble-60'),
    text_weight=25.0,
    image_weight=10.0,
    logit_weight=1.0,
)
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(optimizer=dict(lr=2.5e-3))
recipes = [
    dict(
        train_cfg=dict(max_epochs=20),
        auto_scale_lr=dict(base_batch_size=4),
        # The prompts that are tested are a mean over the epochs, most of it around the 15th.
        custom_hooks=[dict(type='vlprompt.GaussianAveragingHook', mean=15, std=1)],
    )
]
