# The setting of the CoCoOp paper: four context vectors that start as words; 2,048 trained parameters.
_base_ = './coop_vit-b16_16shot_imagenet.py'

model = dict(prompt=dict(n_ctx=4, init='a photo of a'))
