# CoOp with 4 context vectors that start from "a photo of a".
#   python tools/train.py configs/coop/coop_vit-b16_ctx4.py --dataset imagenet --shots 16 --seed 1 --test
# Base to new: train on the first half of the classes, test on the other half.
#   python tools/train.py configs/coop/coop_vit-b16_ctx4.py --dataset dtd --work-dir w/base --cfg-options subset=base
#   python tools/test.py configs/coop/coop_vit-b16_ctx4.py w/base/epoch_200.pth --dataset dtd --other-classes \
#       --cfg-options subset=new
_base_ = './coop_vit-b16.py'

model = dict(prompt=dict(n_ctx=4, init='a photo of a'))
