# Zero-shot CLIP: nothing is learned.
#   vlprompt test zero-shot_rn50 --dataset caltech101
#   vlprompt test zero-shot_rn50 --dataset imagenet --cfg-options templates=ensemble-80
_base_ = ['../_base_/models/clip_rn50.py', '../_base_/default_runtime.py']

dataset = 'caltech101'
model = dict(
    prompt=dict(type='vlprompt.TemplatePrompt', templates='${templates}'),  # those of the dataset
    alignment=dict(type='vlprompt.CosineAlignment', ensemble='features'),  # mean over templates, then normalised
)
