_base_ = [
    '../_base_/models/plot_rn50.py',
    '../_base_/datasets/ucf101.py',
    '../_base_/schedules/few_shot_200e.py',
    '../_base_/default_runtime.py',
]

model = dict(class_names='ucf101')
train_dataloader = dict(batch_size=128, dataset=dict(shots=8))
val_dataloader = dict(dataset=dict(shots=8))
test_dataloader = dict(batch_size=200)
auto_scale_lr = dict(base_batch_size=128)
