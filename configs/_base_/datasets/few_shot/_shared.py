# Shared by all few-shot datasets: the pipelines and loaders of the CoOp family, top-1 accuracy.
image_size = None  # pixels; None: those that the image tower was trained with
interpolation, resize_mode = None, None  # of resizing images; None: as when the weights were trained
crop_scale = (
    0.08,
    1.0,
)  # share of the image that a random crop keeps; below 1 it adds variety, too low loses the object
tta_expand = 24  # --tta: pixels by which the shorter side is longer than the five crops; 1.5 patches of 16
shots = 16  # training images per class, --shots
draw = 'coop'  # which published rule draws them; 'clip-lora': validation images first, short classes repeated
data_root = None  # folder of the dataset, --data-root; None: its usual folder below data/
load_image = dict(type='vlprompt.LoadImage')  # exif_orientation=False: pixels as stored, not turned upright
keep_gigabytes = 1.0  # decoded training images that each process which loads them keeps in memory at most
keep_image = dict(type='vlprompt.KeepInMemory', transform='${load_image}', gigabytes='${keep_gigabytes}')
subset = 'all'  # 'base' or 'new': the first or the second half of the classes
templates = 'a photo of a {}.'  # zero-shot classification: one template, a list, or a name of vlprompt.clip.templates

train_pipeline = [
    '${keep_image}',
    dict(
        type='vlprompt.RandomResizedCrop',
        size='${image_size}',
        scale='${crop_scale}',
        interpolation='${interpolation}',
    ),
    dict(type='vlprompt.RandomHorizontalFlip', prob=0.5),
    dict(type='vlprompt.PackClassification'),
]
test_pipeline = [
    '${load_image}',
    dict(type='vlprompt.SquareImage', size='${image_size}', mode='${resize_mode}', interpolation='${interpolation}'),
    dict(type='vlprompt.PackClassification'),
]

# --tta: the mean of the logits of five crops, as in LIFT.
tta_pipeline = [
    '${load_image}',
    dict(type='vlprompt.FiveCrop', size='${image_size}', expand='${tta_expand}', interpolation='${interpolation}'),
    dict(type='vlprompt.PackClassification'),
]
tta_model = dict(type='vlprompt.CropTTAModel')

train_dataloader = dict(
    batch_size=32,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='vlprompt.EpochSampler', shuffle=True),
    batch_sampler=dict(type='vlprompt.DropRaggedBatchSampler'),
    dataset=dict(
        type='vlprompt.FewShotDataset',
        data_root='${data_root}',
        split='train',
        shots='${shots}',
        draw='${draw}',
        subset='${subset}',
        seed=1,
        pipeline='${train_pipeline}',
    ),
)

# The few-shot validation set, min(shots, 4) images per class. The published recipes do not use it.
val_dataloader = dict(
    batch_size=100,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='vlprompt.FewShotDataset',
        data_root='${data_root}',
        split='val',
        shots='${shots}',
        draw='${draw}',
        subset='${subset}',
        seed=1,
        pipeline='${test_pipeline}',
    ),
)
val_evaluator = dict(type='vlprompt.Accuracy', topk=(1,))

test_dataloader = dict(
    batch_size=100,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='vlprompt.FewShotDataset',
        data_root='${data_root}',
        split='test',
        subset='${subset}',
        pipeline='${test_pipeline}',
    ),
)
test_evaluator = dict(type='vlprompt.Accuracy', topk=(1,))
# Image features of frozen towers are computed once for all methods, shots and seeds; store=None: always anew.
test_cfg = dict(type='vlprompt.FeatureTestLoop', store='work_dirs/image_features')
