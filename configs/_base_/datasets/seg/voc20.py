# PASCAL VOC 2012 without its background, 20 classes.
_base_ = './voc12.py'

class_names, num_classes = 'vlprompt.VOC20Dataset', 20
background = None
words = dict(
    _delete_=True,
    boat=['ship'],
    diningtable=['table'],
    person=[f'person in {piece}' for piece in ('shirt', 'jeans', 'dress', 'sweater', 'skirt', 'jacket')],
    tvmonitor=['television monitor', 'tv monitor', 'monitor', 'television', 'screen'],
)

train_dataloader = dict(dataset=dict(dataset=dict(type='vlprompt.VOC20Dataset')))
val_dataloader = dict(dataset=dict(type='vlprompt.VOC20Dataset'))
test_dataloader = val_dataloader
