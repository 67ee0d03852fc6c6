# MaPLe trained on ImageNet for tests on other datasets: prompts in 3 blocks, 1,185,024 trained parameters.
#   vlprompt train maple_vit-b16_cross-dataset --seed 1 --work-dir w/imagenet
#   vlprompt test maple_vit-b16_cross-dataset w/imagenet/epoch_2.pth --dataset dtd \
#       --other-classes
# All targets of domain generalisation by one command:
#   vlprompt few-shot maple_vit-b16_cross-dataset --datasets imagenet --shots 16 --protocol transfer \
#       --targets imagenetv2 imagenet_sketch imagenet_a imagenet_r
_base_ = './maple_vit-b16.py'

dataset = 'imagenet'
model = dict(prompt=dict(depth=3))
optim_wrapper = dict(optimizer=dict(lr=2.6e-3))
train_cfg = dict(max_epochs=2)
