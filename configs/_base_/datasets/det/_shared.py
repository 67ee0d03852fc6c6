# Shared by all detection datasets: pipelines and loaders; 2 images on each of 8 GPUs, samples depend on seed and
# epoch only.
image_scale = (1333, 800)  # images are resized to fit into it, long side and short side; the method's
masks = False  # objects have masks, for instance segmentation; the method's
metrics = ['bbox']  # with masks also 'segm'; the method's
data_root = None  # folder of the dataset, --data-root; None: its usual folder below data/
class_names = None  # of models that read them; None: they follow the files
num_classes = None  # of heads without text; None: it follows the files
load_image = dict(type='vlprompt.LoadImageFile')  # exif_orientation=False: pixels as stored, not turned upright
load_objects = dict(type='LoadAnnotations', with_bbox=True, with_mask='${masks}')

train_pipeline = [
    '${load_image}',
    '${load_objects}',
    dict(type='Resize', scale='${image_scale}', keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    '${load_image}',
    dict(type='Resize', scale='${image_scale}', keep_ratio=True),
    '${load_objects}',  # after the resize, which is not meant for them
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]

train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='vlprompt.EpochSampler', shuffle=True, pad=True),
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(
        type='vlprompt.SeededDataset',
        seed=1,
        dataset=dict(
            data_root='${data_root}',
            filter_cfg=dict(filter_empty_gt=True, min_size=32),
            pipeline='${train_pipeline}',
        ),
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(data_root='${data_root}', test_mode=True, pipeline='${test_pipeline}'),
)
test_dataloader = val_dataloader
