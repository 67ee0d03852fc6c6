# ViT-B/16 pretrained on ImageNet-21k (AugReg) as a frozen trunk; a method adds head, loss and trainable.
task = 'long_tailed'
model = dict(
    type='vlprompt.HeadClassifier',
    data_preprocessor=dict(type='vlprompt.ClipPreprocessor', mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    timm=dict(name='vit_base_patch16_224.augreg_in21k', weights='pretrained'),
)
