_base_ = './visual_vit-b16-in21k.py'

# Linear probe: a classifier on the frozen class feature.
model = dict(
    head=dict(type='vlprompt.LinearHead', dropout=0.1),
    loss=dict(type='vlprompt.LogitAdjustedLoss', tau=0.0),
    trainable=['head.*'],
)
