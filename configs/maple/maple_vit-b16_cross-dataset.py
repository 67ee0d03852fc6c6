# MaPLe trained on ImageNet for tests on other datasets: prompts in 3 blocks, 1,185,024 trained parameters.
#   python tools/train.py configs/maple/maple_vit-b16_cross-dataset.py --seed 1 --work-dir w/imagenet
#   python tools/test.py configs/maple/maple_vit-b16_cross-dataset.py w/imagenet/epoch_2.pth --dataset dtd \
#       --other-classes
# All targets of domain generalisation by one command:
#   python tools/few_shot.py maple_vit-b16_cross-dataset --datasets imagenet --shots 16 --protocol transfer \
#       --targets imagenetv2 imagenet_sketch imagenet_a imagenet_r
_base_ = './maple_vit-b16.py'

dataset = 'imagenet'
model = dict(prompt=dict(depth=3))
optim_wrapper = dict(optimizer=dict(lr=2.6e-3))
train_cfg = dict(max_epochs=2)
