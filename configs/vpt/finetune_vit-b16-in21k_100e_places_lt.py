_base_ = [
    '../_base_/models/linear_vit-b16-in21k.py',
    '../_base_/datasets/places_lt_224x224.py',
    '../_base_/schedules/finetune_100e.py',
    '../_base_/default_runtime_long_tailed.py',
]

model = dict(num_classes=365, trainable=['*'])
train_dataloader = dict(dataset=dict(pipeline={{_base_.whole_flip_pipeline}}))
test_dataloader = dict(dataset=dict(pipeline={{_base_.whole_pipeline}}))
