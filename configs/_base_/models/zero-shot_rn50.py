_base_ = './classifier_rn50.py'

model = dict(
    prompt=dict(type='vlprompt.TemplatePrompt', templates='a photo of a {}.'),
    alignment=dict(type='vlprompt.CosineAlignment'),
)
