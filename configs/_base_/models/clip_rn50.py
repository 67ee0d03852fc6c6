# CLIP RN50 as a classifier; a method adds prompt, alignment and trainable.
task = 'few_shot'
model = dict(
    type='vlprompt.TextClassifier',
    data_preprocessor=dict(type='vlprompt.ClipPreprocessor'),
    clip=dict(arch='RN50', weights='openai'),
)
