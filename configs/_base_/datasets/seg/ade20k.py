# ADE20K, 150 classes; mask id 0, which is no class, is dropped by the dataset.
_base_ = './_shared.py'

data_root = 'data/ade/ADEChallengeData2016'
class_names, num_classes = 'ade20k', 150

train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            type='ADE20KDataset',
            data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        ),
    ),
)
val_dataloader = dict(
    dataset=dict(
        type='ADE20KDataset',
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
    ),
)
test_dataloader = val_dataloader
