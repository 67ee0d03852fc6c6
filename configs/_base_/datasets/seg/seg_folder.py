# Your own images and masks: images/{train,val}/, masks/{train,val}/ and classnames.txt in --data-root, see
# data/README.md.
_base_ = './_shared.py'

data_root = 'data/mine'
load_mask = dict(type='vlprompt.LoadMask')

train_dataloader = dict(dataset=dict(dataset=dict(type='vlprompt.FolderSegDataset', split='train')))
val_dataloader = dict(dataset=dict(type='vlprompt.FolderSegDataset', split='val'))
test_dataloader = val_dataloader
