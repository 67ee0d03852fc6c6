# Your own classes: a folder with images/{train,val}/*.jpg and masks/{train,val}/*.png, whose pixels are class ids
# in the order of the names (255: unlabelled). Names of more than 3 tokens need a larger prompt.context_length.
_base_ = './denseclip_r50_fpn_80k_voc12-512x512.py'

_classes = ['background', 'road', 'building', 'tree']
_data = dict(
    _delete_=True,
    type='BaseSegDataset',
    data_root='data/custom',
    metainfo=dict(classes=_classes),
    reduce_zero_label=False,
    img_suffix='.jpg',
    seg_map_suffix='.png',
)
model = dict(class_names=_classes)
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            **_data,
            data_prefix=dict(img_path='images/train', seg_map_path='masks/train'),
            pipeline=_base_.train_pipeline,
        )
    )
)
val_dataloader = dict(
    dataset=dict(
        **_data, data_prefix=dict(img_path='images/val', seg_map_path='masks/val'), pipeline=_base_.test_pipeline
    )
)
test_dataloader = val_dataloader

train_cfg = dict(max_iters=20000, val_interval=2000)
param_scheduler = [
    dict(
        type='vlprompt.WarmupPolyLR',
        by_epoch=False,
        T_max=20000,
        power=0.9,
        eta_min=1e-6,
        warmup=1500,
        warmup_ratio=1e-6,
    )
]
default_hooks = dict(checkpoint=dict(interval=2000))
