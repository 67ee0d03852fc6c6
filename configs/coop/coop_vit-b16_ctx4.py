# CoOp with 4 context vectors that start from "a photo of a".
#   vlprompt train coop_vit-b16_ctx4 --dataset imagenet --shots 16 --seed 1 --test
# Base to new: train on the first half of the classes, test on the other half.
#   vlprompt train coop_vit-b16_ctx4 --dataset dtd --work-dir w/base --cfg-options subset=base
#   vlprompt test coop_vit-b16_ctx4 w/base/epoch_200.pth --dataset dtd --other-classes \
#       --cfg-options subset=new
_base_ = './coop_vit-b16.py'

model = dict(prompt=dict(n_ctx=4, init='a photo of a'))
