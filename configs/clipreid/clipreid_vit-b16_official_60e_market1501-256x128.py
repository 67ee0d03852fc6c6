_base_ = './clipreid_vit-b16_60e_market1501-256x128.py'

# Half precision where the published code has it, also in the losses. Its second stage ran under autocast: add --amp.
phases = dict(
    prompts=dict(model=dict(official=True), train_cfg=dict(half=True)),
    finetune=dict(model=dict(official=True)),
)
