# PASCAL Context, 60 classes with background.
_base_ = './_shared.py'

data_root = 'data/VOCdevkit/VOC2010'
class_names, num_classes = 'PascalContextDataset', 60
background = 'background'

train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            type='PascalContextDataset',
            ann_file='ImageSets/SegmentationContext/train.txt',
            data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassContext'),
        ),
    ),
)
val_dataloader = dict(
    dataset=dict(
        type='PascalContextDataset',
        ann_file='ImageSets/SegmentationContext/val.txt',
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassContext'),
    ),
)
test_dataloader = val_dataloader
