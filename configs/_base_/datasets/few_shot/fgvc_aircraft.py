# FGVC-Aircraft: 100 variants.
_base_ = './_shared.py'

templates = 'a photo of a {}, a type of aircraft.'

train_dataloader = dict(dataset=dict(dataset='fgvc_aircraft'))
val_dataloader = dict(dataset=dict(dataset='fgvc_aircraft'))
test_dataloader = dict(dataset=dict(dataset='fgvc_aircraft'))
