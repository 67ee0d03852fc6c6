_base_ = [
    '../_base_/models/adaptformer_vit-b16.py',
    '../_base_/datasets/inat2018_224x224.py',
    '../_base_/schedules/adaptformer_10e.py',
    '../_base_/default_runtime_long_tailed.py',
]

model = dict(num_classes=8142)
test_dataloader = dict(dataset=dict(pipeline={{_base_.short_side_pipeline}}))
param_scheduler = dict(T_max=20)
train_cfg = dict(max_epochs=20)
