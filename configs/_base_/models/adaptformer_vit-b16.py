# LIFT: AdaptFormer beside every MLP of CLIP's ViT-B/16, a cosine head that starts from text, logit adjustment.
task = 'long_tailed'
interpolation = 'bilinear'  # as in LIFT's code
model = dict(
    type='vlprompt.HeadClassifier',
    data_preprocessor=dict(type='vlprompt.ClipPreprocessor'),  # mean and std: as the weights were trained
    clip=dict(arch='ViT-B/16', weights='openai'),
    tuner=dict(type='vlprompt.AdaptFormer'),
    head=dict(type='vlprompt.CosineHead', scale=25.0, start='text', template='a photo of a {}.'),
    loss=dict(type='vlprompt.LogitAdjustedLoss', tau=1.0),
    trainable=['tuner.*', 'head.*'],
)
