_base_ = './lpt_micro-vit_2x4e_scenes_lt.py'

# Without balanced sampling: the uniform stream alone, with its loss; as many images and steps.
model = dict(loss=dict(_delete_=True, type='vlprompt.AGCLLoss', gamma_pos=0.5, gamma_neg=8.0))
train_dataloader = dict(
    batch_size=64, sampler=dict(_delete_=True, type='vlprompt.EpochSampler', shuffle=True, pad=True), batch_sampler=None
)
param_scheduler = dict(T_max=8)
train_cfg = dict(max_epochs=8)
