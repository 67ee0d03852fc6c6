# COCO-Stuff of COCO 2017, 171 classes.
_base_ = './_shared.py'

data_root = 'data/coco_stuff164k'
class_names, num_classes = 'cocostuff', 171

train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            type='COCOStuffDataset',
            data_prefix=dict(img_path='images/train2017', seg_map_path='annotations/train2017'),
        ),
    ),
)
val_dataloader = dict(
    dataset=dict(
        type='COCOStuffDataset',
        data_prefix=dict(img_path='images/val2017', seg_map_path='annotations/val2017'),
    ),
)
test_dataloader = val_dataloader
