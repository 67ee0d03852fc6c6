# AdaptFormer as in LIFT+: half the epochs at twice the rate, square crops that grow with the epochs, no mirror images.
#   vlprompt train adaptformer_vit-b16_lift-plus --dataset places_lt --test
_base_ = './adaptformer_vit-b16.py'

interpolation = 'bicubic'
train_dataloader = dict(dataset=dict(pipeline='${minimalist_pipeline}'))
optim_wrapper = dict(optimizer=dict(lr=0.02))
recipes = [
    dict(train_cfg=dict(max_epochs=5)),
    dict(dataset='inat2018', train_cfg=dict(max_epochs=15)),
]
