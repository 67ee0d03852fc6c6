# NACLIP with refinement by pixels: ViT-B/16.
#   vlprompt test naclip_vit-b16 --dataset ade20k
#   vlprompt predict naclip_vit-b16 none photo.jpg \
#       --class-names sofa cat floor --out predictions
_base_ = ['../_base_/models/clip_segmentor_vit-b16.py', '../_base_/default_runtime_words.py']

dataset = 'voc12'
model = dict(clip=dict(vision=dict(local='naclip')), refine=dict(steps=10, dilations=(8, 16)))
recipes = [
    dict(
        short_side=336, crop_size=(224, 224), crop_stride=(112, 112), threshold=0.0, windows='slide', logit_scale=40.0
    ),
    dict(dataset=['voc12', 'pascal_context', 'coco_object'], threshold=0.1),
    dict(dataset=['voc12', 'voc20'], windows='whole'),
    dict(dataset='cityscapes', short_side=560),
]
