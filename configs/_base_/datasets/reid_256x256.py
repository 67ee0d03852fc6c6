# The same recipe at 256 x 256, for vehicles.
_base_ = './reid_256x128.py'

train_pipeline = [
    dict(type='vlprompt.LoadImage'),
    dict(type='vlprompt.ResizeImage', size=(256, 256), interpolation='bicubic'),
    dict(type='vlprompt.RandomHorizontalFlip', prob=0.5),
    dict(type='vlprompt.PaddedRandomCrop', size=(256, 256), padding=10),
    dict(type='vlprompt.RandomErasing', prob=0.5),
    dict(type='vlprompt.PackReIDInputs'),
]
test_pipeline = [
    dict(type='vlprompt.LoadImage'),
    dict(type='vlprompt.ResizeImage', size=(256, 256), interpolation='bilinear'),
    dict(type='vlprompt.PackReIDInputs'),
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
