# Cityscapes, 19 classes.
_base_ = './_shared.py'

data_root = 'data/cityscapes'
class_names, num_classes = 'cityscapes', 19

train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            type='CityscapesDataset',
            data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
        ),
    ),
)
val_dataloader = dict(
    dataset=dict(
        type='CityscapesDataset',
        data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
    ),
)
test_dataloader = val_dataloader
