_base_ = [
    '../_base_/models/adaptformer_vit-b16.py',
    '../_base_/datasets/imagenet_lt_224x224.py',
    '../_base_/schedules/adaptformer_10e.py',
    '../_base_/default_runtime_long_tailed.py',
]

model = dict(class_names='imagenet_lt')
test_dataloader = dict(dataset=dict(pipeline={{_base_.short_side_pipeline}}))
