# CLIP RN50 with frozen features, which a solver classifies; a method adds the solver and, in its recipe, templates.
_base_ = './clip_rn50.py'

model = dict(type='vlprompt.FeatureClassifier', prompt=dict(type='vlprompt.TemplatePrompt'))
