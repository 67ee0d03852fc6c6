# AdaptFormer as in LIFT, on CLIP ViT-B/16: adapters, logit adjustment, a head that starts from text.
#   vlprompt train adaptformer_vit-b16 --dataset places_lt --test
_base_ = [
    '../_base_/models/adaptformer_vit-b16.py',
    '../_base_/schedules/adaptformer_10e.py',
    '../_base_/default_runtime_long_tailed.py',
]

dataset = 'places_lt'
test_dataloader = dict(dataset=dict(pipeline='${short_side_pipeline}'))
recipes = [
    dict(train_cfg=dict(max_epochs=10)),
    dict(dataset='inat2018', train_cfg=dict(max_epochs=20)),
]
