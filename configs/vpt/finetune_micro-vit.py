# Full fine-tuning of the built-in micro ViT.
#   vlprompt train finetune_micro-vit --test
_base_ = './linear_micro-vit.py'

model = dict(trainable=['*'])
optim_wrapper = dict(optimizer=dict(lr=0.01))
