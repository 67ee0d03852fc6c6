# PLOT with the built-in micro ResNet, in about a minute on two cores.
#   vlprompt train plot_micro-rn --test
_base_ = ['./plot_rn50.py', '../_base_/few_shot_scenes.py']

dataset = 'scenes'
model = dict(clip=dict(arch='micro-rn', weights='scenes'))
# Fewer epochs than published: minutes on two cores.
recipes = [dict(train_cfg=dict(max_epochs=25), auto_scale_lr=dict(base_batch_size=32))]
test_dataloader = dict(batch_size=100)
