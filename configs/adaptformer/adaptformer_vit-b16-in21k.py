# AdaptFormer on ImageNet-21k weights, which have no text: the head starts from class means.
#   vlprompt train adaptformer_vit-b16-in21k --dataset places_lt --test
_base_ = './adaptformer_vit-b16.py'

model = dict(
    clip=None,
    timm=dict(name='vit_base_patch16_224.augreg_in21k', weights='pretrained'),
    head=dict(start='class_mean'),
)
