# Long-tailed data at 128 pixels, the input size of the micro models.
_base_ = './long_tailed_224x224.py'

train_pipeline = [
    dict(type='vlprompt.LoadImage'),
    dict(type='vlprompt.RandomResizedCrop', size=128, scale=(0.5, 1.0)),
    dict(type='vlprompt.RandomHorizontalFlip', prob=0.5),
    dict(type='vlprompt.PackClassification'),
]
test_pipeline = [
    dict(type='vlprompt.LoadImage'),
    dict(type='vlprompt.ResizeImage', size=(128, 128)),
    dict(type='vlprompt.PackClassification'),
]

train_dataloader = dict(num_workers=2, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(num_workers=2, dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(num_workers=2, dataset=dict(pipeline=test_pipeline))
