# Base-to-new: trained on the first half of the classes. Test the other half with
# tools/test.py CONFIG CHECKPOINT --other-classes \
#     --cfg-options model.class_names=caltech101:new test_dataloader.dataset.subset=new
_base_ = './coop_vit-b16_16shot_caltech101.py'

model = dict(class_names='caltech101:base', prompt=dict(n_ctx=4, init='a photo of a'))
train_dataloader = dict(dataset=dict(subset='base'))
val_dataloader = dict(dataset=dict(subset='base'))
test_dataloader = dict(dataset=dict(subset='base'))
