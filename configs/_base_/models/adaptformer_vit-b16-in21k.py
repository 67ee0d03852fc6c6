_base_ = './adaptformer_vit-b16.py'

# ImageNet-21k weights (AugReg) have no text: the head starts from the mean frozen features of the classes.
model = dict(
    data_preprocessor=dict(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    clip=None,
    timm=dict(name='vit_base_patch16_224.augreg_in21k', weights='pretrained'),
    head=dict(start='class_mean'),
)
