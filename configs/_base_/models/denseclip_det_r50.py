# Shared by DenseCLIP's detectors, for `model = dict(**_base_._text_guided, ...)`: CLIP's ResNet-50, prompt, matching
# and auxiliary loss. Channels and class numbers of neck and heads follow from the trunk and the class names.
_text_guided = dict(
    class_names='${class_names}',
    backbone=dict(
        _delete_=True,
        type='vlprompt.TextGuidedBackbone',
        clip=dict(arch='RN50', weights='openai', image_size=1344, vision=dict(interpolation='bilinear')),
        trunk=dict(type='vlprompt.ClipTrunk', joint=True),
        matching=dict(
            prompt=dict(
                type='vlprompt.ContextPrompt', n_ctx=8, ending='', context_length=13, init_std=1.0, init_cut=2.0
            ),
            context_decoder=dict(type='vlprompt.ContextDecoder', width=256, heads=4, layers=3, dropout=0.1),
            prompting='post',
            gamma=1e-4,
        ),
        score_concat=dict(stage=3, temperature=0.07),
    ),
    pixel_text_loss=dict(type='vlprompt.BoxTextLoss', temperature=0.07, weight=1.0, target='boxes'),
    frozen=['backbone.matching.text.*'],
)
