# Zero-shot CLIP: nothing is learned.
#   python tools/test.py configs/zero_shot/zero-shot_rn50.py --dataset caltech101
#   python tools/test.py configs/zero_shot/zero-shot_rn50.py --dataset imagenet --cfg-options templates=ensemble-80
_base_ = ['../_base_/models/clip_rn50.py', '../_base_/default_runtime.py']

dataset = 'caltech101'
model = dict(
    prompt=dict(type='vlprompt.TemplatePrompt', templates='${templates}'),  # those that suit the dataset
    alignment=dict(type='vlprompt.CosineAlignment', ensemble='features'),  # mean over templates, then normalised
)
