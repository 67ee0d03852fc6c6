# PromptSRC trained on ImageNet for tests on other datasets: prompts in 3 blocks, 15,360 trained parameters.
#   python tools/train.py configs/promptsrc/promptsrc_vit-b16_cross-dataset.py --seed 1 --work-dir w/imagenet
#   python tools/test.py configs/promptsrc/promptsrc_vit-b16_cross-dataset.py w/imagenet/epoch_20.pth --dataset dtd \
#       --other-classes
_base_ = './promptsrc_vit-b16.py'

dataset = 'imagenet'
model = dict(prompt=dict(depth=3), visual=dict(depth=3))
custom_hooks = [dict(type='vlprompt.GaussianAveragingHook', mean=6, std=10)]
