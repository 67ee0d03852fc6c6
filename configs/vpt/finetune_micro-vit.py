# Full fine-tuning of the built-in micro ViT.
#   python tools/train.py configs/vpt/finetune_micro-vit.py --test
_base_ = './linear_micro-vit.py'

model = dict(trainable=['*'])
optim_wrapper = dict(optimizer=dict(lr=0.01))
