# Shared by all long-tailed datasets, as in LPT: pipelines, loaders, accuracy of many-, medium- and few-shot classes.
# Images are drawn uniformly; a method that balances classes inherits a file of ../../samplers/.
image_size = None  # pixels; None: those that the image tower was trained with
resize_size = '${image_size * 8/7}'  # pixels before the center crop of a test; 256 for 224
crop_scale = (0.08, 1.0)  # share of the image that a random crop keeps
interpolation = None  # of resizing images; None: as when the weights were trained
crop_interpolation = '${interpolation}'  # of the random crop
test_interpolation = '${interpolation}'  # of the resize of a test
tta_expand = 24  # --tta: pixels by which the shorter side is longer than the five crops; 1.5 patches of 16
data_root = None  # folder of the dataset, --data-root; None: its usual folder below data/
load_image = dict(type='vlprompt.LoadImage')  # exif_orientation=False: pixels as stored, not turned upright

train_pipeline = [
    '${load_image}',
    dict(
        type='vlprompt.RandomResizedCrop',
        size='${image_size}',
        scale='${crop_scale}',
        interpolation='${crop_interpolation}',
    ),
    dict(type='vlprompt.RandomHorizontalFlip', prob=0.5),
    dict(type='vlprompt.PackClassification'),
]
test_pipeline = [
    '${load_image}',
    # The aspect ratio is not kept.
    dict(type='vlprompt.ResizeImage', size=('${resize_size}', '${resize_size}'), interpolation='${test_interpolation}'),
    dict(type='vlprompt.CenterCrop', size='${image_size}'),
    dict(type='vlprompt.PackClassification'),
]
# For recipes with other transforms: pipeline='${short_side_pipeline}'.
short_side_pipeline = [
    '${load_image}',
    dict(type='vlprompt.ResizeShorterSide', size='${resize_size}', interpolation='${test_interpolation}'),
    dict(type='vlprompt.CenterCrop', size='${image_size}'),
    dict(type='vlprompt.PackClassification'),
]
whole_pipeline = [
    '${load_image}',
    dict(type='vlprompt.ResizeImage', size=('${image_size}', '${image_size}'), interpolation='${test_interpolation}'),
    dict(type='vlprompt.PackClassification'),
]
minimalist_pipeline = [
    '${load_image}',
    dict(
        type='vlprompt.MinimalistCrop',
        size='${image_size}',
        scale='${crop_scale}',
        interpolation='${crop_interpolation}',
    ),
    dict(type='vlprompt.PackClassification'),
]
whole_flip_pipeline = [
    '${load_image}',
    dict(type='vlprompt.ResizeImage', size=('${image_size}', '${image_size}'), interpolation='${test_interpolation}'),
    dict(type='vlprompt.RandomHorizontalFlip', prob=0.5),
    dict(type='vlprompt.PackClassification'),
]

# --tta: the mean of the logits of five crops, as in LIFT.
tta_pipeline = [
    '${load_image}',
    dict(type='vlprompt.FiveCrop', size='${image_size}', expand='${tta_expand}', interpolation='${test_interpolation}'),
    dict(type='vlprompt.PackClassification'),
]
tta_model = dict(type='vlprompt.CropTTAModel')

train_dataloader = dict(
    batch_size=128,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='vlprompt.EpochSampler', shuffle=True, pad=True),
    dataset=dict(
        type='vlprompt.LongTailedDataset',
        data_root='${data_root}',
        split='train',
        seed=1,
        pipeline='${train_pipeline}',
    ),
)

# None in the file of a dataset without validation split. The recipes do not use it.
val_dataloader = dict(
    batch_size=128,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='vlprompt.LongTailedDataset', data_root='${data_root}', split='val', pipeline='${test_pipeline}'),
)
val_evaluator = dict(type='vlprompt.ShotAccuracy', convention='oltr')

test_dataloader = dict(
    batch_size=128,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='vlprompt.LongTailedDataset', data_root='${data_root}', split='test', pipeline='${test_pipeline}'
    ),
)
test_evaluator = dict(type='vlprompt.ShotAccuracy', convention='oltr')
test_cfg = dict()
