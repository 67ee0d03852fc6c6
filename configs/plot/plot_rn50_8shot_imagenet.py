_base_ = [
    '../_base_/models/plot_rn50.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/few_shot_50e.py',
    '../_base_/default_runtime.py',
]

# The published code adds the global logits on ImageNet and nowhere else.
model = dict(class_names='imagenet', alignment=dict(global_weight=1.0))
train_dataloader = dict(batch_size=128, dataset=dict(shots=8))
val_dataloader = dict(dataset=dict(shots=8))
test_dataloader = dict(batch_size=200)
auto_scale_lr = dict(base_batch_size=128)
