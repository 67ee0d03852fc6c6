# PLOT-Adapter with the built-in micro ResNet, in a few minutes on two cores.
#   vlprompt train plot-adapter_micro-rn --shots 4 --test
_base_ = './plot-adapter_rn50.py'

dataset = 'scenes'
crop_scale = (0.5, 1.0)  # gentler crops for the prompts, too
model = dict(clip=dict(arch='micro-rn', weights='scenes'))
# Fewer epochs of the prompts than published.
recipes = [
    dict(
        model=dict(
            zero_shot=dict(templates='${templates}'),
            solver=dict(beta=1.0, alpha=2.17, search_scale=(3, 7), search_step=(20, 20), epochs=20),
        ),
        phases=dict(prompts=dict(train_cfg=dict(max_epochs=25), auto_scale_lr=dict(base_batch_size=32))),
    )
]
