# Test on ImageNet-R among its own 200 classes (model.class_names='imagenet_r'); prompts come from ImageNet.
_base_ = './imagenet.py'

test_dataloader = dict(dataset=dict(dataset='imagenet_r'))
# --data-root is the folder of the test images.
train_dataloader = dict(dataset=dict(data_root=None))
val_dataloader = dict(dataset=dict(data_root=None))
