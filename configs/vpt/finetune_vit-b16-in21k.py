# Full fine-tuning on whole images.
#   vlprompt train finetune_vit-b16-in21k --dataset places_lt --test
_base_ = [
    '../_base_/models/linear_vit-b16-in21k.py',
    '../_base_/schedules/finetune_100e.py',
    '../_base_/default_runtime_long_tailed.py',
]

dataset = 'places_lt'
model = dict(trainable=['*'])
train_dataloader = dict(dataset=dict(pipeline='${whole_flip_pipeline}'))
test_dataloader = dict(dataset=dict(pipeline='${whole_pipeline}'))
