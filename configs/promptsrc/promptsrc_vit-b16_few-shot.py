# PromptSRC, the recipe for all classes with 1 to 16 shots.
#   vlprompt train promptsrc_vit-b16_few-shot --dataset dtd --shots 4 --seed 1 --test
_base_ = './promptsrc_vit-b16.py'

# The published weights of the epochs were chosen by dataset: the first row is that of ImageNet, Caltech101, Pets,
# Food101, UCF101 and SUN397.
recipes = [
    dict(
        train_cfg=dict(max_epochs=50),
        auto_scale_lr=dict(base_batch_size=4),
        custom_hooks=[dict(type='vlprompt.GaussianAveragingHook', mean=30, std=30)],
    ),
    dict(
        dataset=('stanford_cars', 'oxford_flowers', 'fgvc_aircraft', 'dtd', 'eurosat'),
        custom_hooks=[dict(type='vlprompt.GaussianAveragingHook', mean=45, std=5)],
    ),
]
