# Your own images and masks: images/{train,val}/, masks/{train,val}/ and classnames.txt in --data-root, see
# data/README.md.
_base_ = './_shared.py'

data_root = 'data/mine'
load_mask = dict(type='vlprompt.LoadMask')
reduce_zero_label = False  # True: in the masks 0 is unlabelled and the classes are 1 to K

_files = dict(type='vlprompt.FolderSegDataset', reduce_zero_label='${reduce_zero_label}')
train_dataloader = dict(dataset=dict(dataset=dict(**_files, split='train')))
val_dataloader = dict(dataset=dict(**_files, split='val'))
test_dataloader = val_dataloader
