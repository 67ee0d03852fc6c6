# PromptSRC trained on ImageNet for tests on other datasets: prompts in 3 blocks, 15,360 trained parameters.
#   vlprompt train promptsrc_vit-b16_cross-dataset --seed 1 --work-dir w/imagenet
#   vlprompt test promptsrc_vit-b16_cross-dataset w/imagenet/epoch_20.pth --dataset dtd \
#       --other-classes
_base_ = './promptsrc_vit-b16.py'

dataset = 'imagenet'
model = dict(prompt=dict(depth=3), visual=dict(depth=3))
custom_hooks = [dict(type='vlprompt.GaussianAveragingHook', mean=6, std=10)]
