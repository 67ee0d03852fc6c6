_base_ = './vpt_vit-b16-in21k_100e_places_lt.py'

# Prompts in the input of the first block only: 7,680 trained parameters besides the classifier.
model = dict(tuner=dict(prompt=dict(deep=False)))
