# Half precision where the published code has it, also in the losses. Its second phase ran under autocast: add --amp.
#   python tools/train.py configs/clipreid/clipreid_vit-b16_official.py --dataset market1501 --test --amp
_base_ = './clipreid_vit-b16.py'

phases = dict(
    prompts=dict(model=dict(official=True), train_cfg=dict(half=True)),
    finetune=dict(model=dict(official=True)),
)
