# CLIP-ReID with the half precision of the published code, also in the losses. Phase 2 used autocast: add --amp.
#   vlprompt train clipreid_vit-b16_official --dataset market1501 --test --amp
_base_ = './clipreid_vit-b16.py'

phases = dict(
    prompts=dict(model=dict(official=True), train_cfg=dict(half=True)),
    finetune=dict(model=dict(official=True)),
)
