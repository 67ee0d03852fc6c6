# Baseline of re-identification: CLIP's ViT, identity and triplet losses, no text. Numbers of identities, cameras and
# viewpoints follow the training data.
task = 'reid'
model = dict(
    type='vlprompt.ReIdentifier',
    clip=dict(
        arch='ViT-B/16',
        weights='openai',
        image_size='${image_size}',
        vision=dict(out_indices=(), interpolation='bilinear'),
    ),
    weights=dict(id=1.0, id_proj=1.0, triplet_last=1.0, triplet=1.0, triplet_proj=1.0, i2t=0.0),
    margin=0.3,
    descriptor='before',
    data_preprocessor=dict(type='vlprompt.ClipPreprocessor', mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
)
