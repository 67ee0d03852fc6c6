# The same recipe at 128 pixels, the input size of the built-in micro models. Crops are gentler, since a scene is
# recognised by small patterns that a close crop of a small image destroys.
_base_ = './few_shot_224.py'

train_pipeline = [
    dict(type='vlprompt.LoadImage'),
    dict(type='vlprompt.RandomResizedCrop', size=128, scale=(0.5, 1.0)),
    dict(type='vlprompt.RandomHorizontalFlip', prob=0.5),
    dict(type='vlprompt.PackClassification'),
]
test_pipeline = [
    dict(type='vlprompt.LoadImage'),
    dict(type='vlprompt.ResizeShorterSide', size=128),
    dict(type='vlprompt.CenterCrop', size=128),
    dict(type='vlprompt.PackClassification'),
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
