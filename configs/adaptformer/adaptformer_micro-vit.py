# AdaptFormer with the built-in micro ViT.
#   vlprompt train adaptformer_micro-vit --test
_base_ = [
    '../_base_/models/adaptformer_micro-vit.py',
    '../_base_/long_tailed_160.py',
    '../_base_/schedules/adaptformer_micro.py',
    '../_base_/default_runtime_long_tailed.py',
]

dataset = 'scenes_lt'
train_dataloader = dict(batch_size=32)
