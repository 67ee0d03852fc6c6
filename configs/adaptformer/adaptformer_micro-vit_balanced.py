# AdaptFormer with class-balanced sampling and cross-entropy in place of logit adjustment.
#   vlprompt train adaptformer_micro-vit_balanced --test
_base_ = [
    '../_base_/models/adaptformer_micro-vit.py',
    '../_base_/long_tailed_160.py',
    '../_base_/samplers/class_balanced.py',
    '../_base_/schedules/adaptformer_micro.py',
    '../_base_/default_runtime_long_tailed.py',
]

dataset = 'scenes_lt'
model = dict(loss=dict(tau=0.0))
train_dataloader = dict(batch_size=32)
