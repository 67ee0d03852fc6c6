# VPT-shallow: prompts in the input of the first block only, 7,680 trained parameters besides the classifier.
#   vlprompt train vpt_vit-b16-in21k_shallow --dataset places_lt --test
_base_ = './vpt_vit-b16-in21k.py'

model = dict(tuner=dict(prompt=dict(depth=1)))
