# SCLIP: ViT-B/16.
#   vlprompt test sclip_vit-b16 --dataset ade20k
_base_ = ['../_base_/models/clip_segmentor_vit-b16.py', '../_base_/default_runtime_words.py']

dataset = 'voc12'
model = dict(clip=dict(vision=dict(local='sclip')), least_share='${least_share}')
recipes = [
    dict(
        short_side=336,
        crop_size=(224, 224),
        crop_stride=(112, 112),
        threshold=0.0,
        windows='slide',
        logit_scale=40.0,
        least_share=0.0,
    ),
    dict(dataset=['voc12', 'pascal_context', 'coco_object'], threshold=0.1),
    dict(dataset='voc12', logit_scale=65.0, least_share=0.1),
    dict(dataset=['pascal_context', 'coco_object'], logit_scale=50.0),
    dict(dataset='coco_stuff', short_side=448),
    dict(dataset='cityscapes', short_side=560),
]
