# Shared by all segmentation datasets: pipelines, loaders and metric; 4 images on each of 8 GPUs, as in DenseCLIP.
crop_size = (512, 512)  # pixels of a training crop and of a test window, height and width; the method's
test_scale = (2048, 512)  # images are resized to fit into it, long side and short side; the method's
tta_scale = '${test_scale}'  # --tta uses six multiples of it
data_root = None  # folder of the dataset, --data-root; None: its usual folder below data/
class_names = None  # of models that read them; None: they follow the files
words = dict()  # segmentation by words: class -> words that describe it, where its name does not
background = None  # segmentation by words: the class of what is nothing else
# What SCLIP and NACLIP describe a background by, for words=dict(background='${stuff_words}').
stuff_words = [
    *('sky', 'wall', 'tree', 'wood', 'grass', 'road', 'sea', 'river', 'mountain', 'sands', 'desk', 'bed'),
    *('building', 'cloud', 'lamp', 'door', 'window', 'wardrobe', 'ceiling', 'shelf', 'curtain', 'stair'),
    *('floor', 'hill', 'rail', 'fence'),
]
num_classes = None  # of heads without text; None: it follows the files
load_image = dict(type='vlprompt.LoadImageFile')  # exif_orientation=False: pixels as stored, not turned upright
load_mask = dict(type='vlprompt.CheckedLoadAnnotations')  # mmseg's, which compares the sizes of mask and image

train_pipeline = [
    '${load_image}',
    '${load_mask}',
    dict(type='RandomResize', scale='${test_scale}', ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size='${crop_size}', cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    '${load_image}',
    dict(type='Resize', scale='${test_scale}', keep_ratio=True),
    '${load_mask}',  # after the resize, which is not meant for it
    dict(type='PackSegInputs'),
]
# Six ratios of the scale (not of the image), each also mirrored.
tta_pipeline = [
    '${load_image}',
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale='${tta_scale * 0.5}', keep_ratio=True),
                dict(type='Resize', scale='${tta_scale * 0.75}', keep_ratio=True),
                dict(type='Resize', scale='${tta_scale}', keep_ratio=True),
                dict(type='Resize', scale='${tta_scale * 1.25}', keep_ratio=True),
                dict(type='Resize', scale='${tta_scale * 1.5}', keep_ratio=True),
                dict(type='Resize', scale='${tta_scale * 1.75}', keep_ratio=True),
            ],
            [dict(type='RandomFlip', prob=p, direction='horizontal') for p in (0.0, 1.0)],
            ['${load_mask}'],
            [dict(type='PackSegInputs')],
        ],
    ),
]

train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='vlprompt.InfiniteEpochSampler', shuffle=True),
    dataset=dict(
        type='vlprompt.SeededDataset', seed=1, dataset=dict(data_root='${data_root}', pipeline='${train_pipeline}')
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(data_root='${data_root}', pipeline='${test_pipeline}'),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
