# PASCAL Context without its background, 59 classes.
_base_ = './pascal_context.py'

class_names, num_classes = 'PascalContextDataset59', 59
background = None

train_dataloader = dict(dataset=dict(dataset=dict(type='PascalContextDataset59')))
val_dataloader = dict(dataset=dict(type='PascalContextDataset59'))
test_dataloader = val_dataloader
