# Baseline of re-identification: a ViT in timm's naming that was pre-trained on photographs of persons; identity loss
# and triplets with a soft margin on its last features. Position embedding of 256 x 128 pixels.
task = 'reid'
model = dict(
    type='vlprompt.ReIdentifier',
    timm=dict(
        arch=dict(width=768, layers=12, heads=12, patch_size=16, image_size=(256, 128)),
        image_size='${image_size}',
        pretrain_ratio=2,
        interpolation='bilinear',
    ),
    weights=dict(id=1.0, id_proj=0.0, triplet_last=0.0, triplet=1.0, triplet_proj=0.0, i2t=0.0),
    label_smoothing=0.0,
    margin=None,
    descriptor='before',
    data_preprocessor=dict(type='vlprompt.ClipPreprocessor', mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
)
