# VPT's own recipe: weights, normalisation, crops, initialisation of prompts and head.
#   vlprompt train vpt_vit-b16-in21k_official --dataset places_lt --test
_base_ = [
    '../_base_/models/vpt_vit-b16-in21k.py',
    '../_base_/schedules/vpt_100e.py',
    '../_base_/default_runtime_long_tailed.py',
]

dataset = 'places_lt'
model = dict(
    data_preprocessor=dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    timm=dict(name='vit_base_patch16_224.orig_in21k'),
    tuner=dict(prompt=dict(init='uniform', length=5)),
    head=dict(dropout=0.0, init='vpt'),
)
train_pipeline = [
    '${load_image}',
    dict(type='vlprompt.ResizeShorterSide', size='${resize_size}', interpolation='${interpolation}'),
    dict(type='vlprompt.PaddedRandomCrop', size=('${image_size}', '${image_size}'), padding=0),
    dict(type='vlprompt.RandomHorizontalFlip', prob=0.5),
    dict(type='vlprompt.PackClassification'),
]
test_dataloader = dict(dataset=dict(pipeline='${short_side_pipeline}'))
