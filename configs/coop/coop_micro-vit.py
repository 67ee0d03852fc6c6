# CoOp with the built-in micro ViT.
#   vlprompt train coop_micro-vit --test
_base_ = ['./coop_rn50.py', '../_base_/few_shot_scenes.py']

dataset = 'scenes'
model = dict(clip=dict(arch='micro-vit', weights='scenes'))
# Fewer epochs than published: minutes on two cores.
recipes = [dict(train_cfg=dict(max_epochs=25), auto_scale_lr=dict(base_batch_size=32))]
