# FGVC-Aircraft: 100 variants.
_base_ = './few_shot_224.py'

train_dataloader = dict(dataset=dict(dataset='fgvc_aircraft'))
val_dataloader = dict(dataset=dict(dataset='fgvc_aircraft'))
test_dataloader = dict(dataset=dict(dataset='fgvc_aircraft'))
