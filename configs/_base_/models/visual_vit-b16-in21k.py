# ViT-B/16 pretrained on ImageNet-21k (AugReg) as a frozen trunk; a method adds head, loss and trainable.
task = 'long_tailed'
interpolation = 'bilinear'  # as in VPT's and LPT's code
model = dict(
    type='vlprompt.HeadClassifier',
    data_preprocessor=dict(type='vlprompt.ClipPreprocessor', mean=None, std=None),  # as the weights were trained
    timm=dict(name='vit_base_patch16_224.augreg_in21k', weights='pretrained'),
)
