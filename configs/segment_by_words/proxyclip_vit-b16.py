# ProxyCLIP: ViT-B/16, with the attention of DINO's ViT-B/8, which timm downloads.
#   vlprompt test proxyclip_vit-b16 --dataset ade20k
_base_ = ['../_base_/models/clip_segmentor_vit-b16.py', '../_base_/default_runtime_words.py']

dataset = 'voc12'
model = dict(proxy=dict(name='vit_base_patch8_224.dino', weights='pretrained', beta=1.2, gamma=3.0))
plain = dict(_delete_=True, boat=['ship'], diningtable=['table'])
recipes = [
    dict(
        short_side=336,
        crop_size=(336, 336),
        crop_stride=(112, 112),
        threshold=0.0,
        windows='slide',
        logit_scale=40.0,
    ),
    dict(dataset='voc12', threshold=0.2, words=dict(person=['person'], tvmonitor=['tvmonitor'])),
    dict(dataset='voc20', words=plain),
    dict(dataset='pascal_context', threshold=0.15),
    dict(
        dataset='coco_object',
        threshold=0.25,
        words=dict(
            background=[
                *('sky', 'wall', 'tree', 'wood', 'grass', 'road', 'sea', 'river', 'mountain', 'sands', 'desk', 'bed'),
                *('building', 'cloud', 'floor', 'hill', 'rail'),
            ],
            person=['person'],
        ),
    ),
    dict(dataset=['ade20k', 'cityscapes'], short_side=448),
    dict(dataset='cityscapes', crop_size=(224, 224)),
]
