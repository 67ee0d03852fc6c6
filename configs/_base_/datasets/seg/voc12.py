# PASCAL VOC 2012 with the augmented training set (10,582 images), 21 classes with background.
_base_ = './_shared.py'

data_root = 'data/VOCdevkit/VOC2012'
class_names, num_classes = 'voc', 21
# Words of classes whose names do not describe them, as SCLIP and NACLIP publish them.
background = 'background'
words = dict(
    background='${stuff_words}',
    boat=['ship'],
    diningtable=['table'],
    person=[f'person in {piece}' for piece in ('shirt', 'jeans', 'dress', 'sweater', 'skirt', 'jacket')],
    tvmonitor=['television monitor', 'tv monitor', 'monitor', 'television', 'screen'],
)

train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            type='PascalVOCDataset',
            ann_file='ImageSets/Segmentation/trainaug.txt',
            data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassAug'),
        ),
    ),
)
val_dataloader = dict(
    dataset=dict(
        type='PascalVOCDataset',
        ann_file='ImageSets/Segmentation/val.txt',
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
    ),
)
test_dataloader = val_dataloader
