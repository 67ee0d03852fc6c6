# Shared by all re-identification datasets: the augmentation of the field's strong baselines, batches of 16 identities
# x 4 images, mAP and CMC without images of the query's own camera.
image_size = (256, 128)  # height and width in pixels
crop_padding = 10  # pixels around an image before the random crop
data_root = None  # folder of the dataset, --data-root; None: its usual folder below data/
load_image = dict(type='vlprompt.LoadImage')  # exif_orientation=False: pixels as stored, not turned upright

train_pipeline = [
    '${load_image}',
    dict(type='vlprompt.ResizeImage', size='${image_size}', interpolation='bicubic'),
    dict(type='vlprompt.RandomHorizontalFlip', prob=0.5),
    dict(type='vlprompt.PaddedRandomCrop', size='${image_size}', padding='${crop_padding}'),
    dict(type='vlprompt.RandomErasing', prob=0.5),
    dict(type='vlprompt.PackReIDInputs'),
]
test_pipeline = [
    '${load_image}',
    dict(type='vlprompt.ResizeImage', size='${image_size}', interpolation='bilinear'),
    dict(type='vlprompt.PackReIDInputs'),
]

train_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='vlprompt.PKSampler', batch_size=64, instances=4),
    dataset=dict(
        type='vlprompt.ReIDDataset', data_root='${data_root}', split='train', seed=1, pipeline='${train_pipeline}'
    ),
)
# Query and gallery, one after the other. The published recipes evaluate only after the last epoch.
test_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='vlprompt.ReIDDataset', data_root='${data_root}', split='test', pipeline='${test_pipeline}'),
)
val_dataloader = test_dataloader
test_evaluator = dict(type='vlprompt.RetrievalMetric', topk=(1, 5, 10))
val_evaluator = test_evaluator
test_cfg = dict()
