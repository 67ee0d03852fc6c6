# The built-in world: python tools/dataset_converters/generate_world.py --task reid --out data/scenes_reid
_base_ = './reid_256x128.py'

train_pipeline = [
    dict(type='vlprompt.LoadImage'),
    dict(type='vlprompt.ResizeImage', size=(128, 64), interpolation='bicubic'),
    dict(type='vlprompt.RandomHorizontalFlip', prob=0.5),
    dict(type='vlprompt.PaddedRandomCrop', size=(128, 64), padding=5),
    dict(type='vlprompt.RandomErasing', prob=0.5),
    dict(type='vlprompt.PackReIDInputs'),
]
test_pipeline = [
    dict(type='vlprompt.LoadImage'),
    dict(type='vlprompt.ResizeImage', size=(128, 64), interpolation='bilinear'),
    dict(type='vlprompt.PackReIDInputs'),
]

# Loaded by the training process itself: small images, and machines with few cores.
train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(dataset='scenes_reid', pipeline=train_pipeline),
)
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(dataset='scenes_reid', pipeline=test_pipeline),
)
test_dataloader = val_dataloader
