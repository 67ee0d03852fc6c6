# ClearCLIP: ViT-B/16.
#   vlprompt test clearclip_vit-b16 --dataset ade20k
_base_ = ['../_base_/models/clip_segmentor_vit-b16.py', '../_base_/default_runtime_words.py']

dataset = 'voc12'
model = dict(clip=dict(vision=dict(local='clearclip')))
# Backgrounds are the single word, a person is a person.
plain = dict(_delete_=True, boat=['ship'], diningtable=['table'])
recipes = [
    dict(
        short_side=448, crop_size=(448, 448), crop_stride=(224, 224), threshold=0.0, windows='slide', logit_scale=50.0
    ),
    dict(dataset=['voc12', 'voc20'], words=plain),
    dict(dataset='coco_object', words=dict(_delete_=True)),
    dict(dataset='voc12', threshold=0.5),
    dict(dataset='pascal_context', threshold=0.15),
    dict(dataset='coco_object', threshold=0.4),
    dict(dataset='cityscapes', crop_size=(224, 224)),
]
