_base_ = [
    '../_base_/models/plot_rn50.py',
    '../_base_/datasets/fgvc_aircraft.py',
    '../_base_/schedules/few_shot_200e.py',
    '../_base_/default_runtime.py',
]

model = dict(class_names='fgvc_aircraft')
train_dataloader = dict(dataset=dict(shots=8))
val_dataloader = dict(dataset=dict(shots=8))
test_dataloader = dict(batch_size=200)
