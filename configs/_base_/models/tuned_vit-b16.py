# CLIP ViT-B/16 with one template and cosines, for methods that train weights of its towers.
_base_ = './clip_rn50.py'

model = dict(
    clip=dict(arch='ViT-B/16'),
    prompt=dict(type='vlprompt.TemplatePrompt', templates='a photo of a {}.'),  # for every dataset
    alignment=dict(type='vlprompt.CosineAlignment'),
)
