# COCO's 80 kinds of objects and a background of everything else, from the files of COCO-Stuff.
_base_ = './coco_stuff.py'

class_names, num_classes = 'vlprompt.COCOObjectDataset', 81
# As SCLIP and NACLIP publish them.
background = 'background'
words = dict(
    background='${stuff_words}',
    person=[
        *(f'person in {piece}' for piece in ('shirt', 'jeans', 'dress', 'sweater', 'skirt', 'jacket')),
        'person in body',
    ],
)

train_dataloader = dict(dataset=dict(dataset=dict(type='vlprompt.COCOObjectDataset')))
val_dataloader = dict(dataset=dict(type='vlprompt.COCOObjectDataset'))
test_dataloader = val_dataloader
