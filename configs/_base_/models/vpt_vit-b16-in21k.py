_base_ = './linear_vit-b16-in21k.py'

# VPT-deep as in LPT's comparison: 12 x 10 x 768 = 92,160 trained parameters besides the classifier.
model = dict(
    tuner=dict(type='vlprompt.PromptTuner', prompt=dict(type='vlprompt.VisualPrompt', length=10)),
    trainable=['tuner.*', 'head.*'],
)
