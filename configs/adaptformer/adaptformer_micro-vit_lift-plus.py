# AdaptFormer as in LIFT+ with the built-in micro ViT: half the epochs of adaptformer_micro-vit at twice its rate.
#   vlprompt train adaptformer_micro-vit_lift-plus --test
_base_ = './adaptformer_micro-vit.py'

test_interpolation = 'bicubic'
train_dataloader = dict(dataset=dict(pipeline='${minimalist_pipeline}'))
optim_wrapper = dict(optimizer=dict(lr=0.02))
train_cfg = dict(max_epochs=8)
