# PASCAL VOC 2012 without its background, 20 classes.
_base_ = './voc12.py'

class_names, num_classes = 'vlprompt.VOC20Dataset', 20
background = None
words = dict(_delete_=True, **{name: own for name, own in _base_.words.items() if name != 'background'})

train_dataloader = dict(dataset=dict(dataset=dict(type='vlprompt.VOC20Dataset')))
val_dataloader = dict(dataset=dict(type='vlprompt.VOC20Dataset'))
test_dataloader = val_dataloader
