# LPT without balanced sampling: the uniform stream alone, with its loss; as many images and steps.
#   vlprompt train lpt_micro-vit_uniform --test
_base_ = [
    '../_base_/models/lpt_micro-vit.py',
    '../_base_/long_tailed_160.py',
    '../_base_/schedules/lpt_micro.py',
    '../_base_/default_runtime_long_tailed.py',
]

dataset = 'scenes_lt'
model = dict(loss=dict(_delete_=True, type='vlprompt.AGCLLoss', gamma_pos=0.5, gamma_neg=8.0))
train_dataloader = dict(batch_size=64)
train_cfg = dict(max_epochs=8)
