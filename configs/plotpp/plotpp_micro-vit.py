# PLOT++ with the built-in micro ViT.
#   vlprompt train plotpp_micro-vit --test
_base_ = ['./plotpp_vit-b16.py', '../_base_/few_shot_scenes.py']

dataset = 'scenes'
model = dict(clip=dict(arch='micro-vit', weights='scenes'))
# Fewer epochs than published: minutes on two cores.
recipes = [*_base_.recipes, dict(train_cfg=dict(max_epochs=15), auto_scale_lr=dict(base_batch_size=32))]
