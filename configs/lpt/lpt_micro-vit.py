# LPT with the built-in micro ViT, 4 epochs a phase.
#   vlprompt train lpt_micro-vit --test
_base_ = [
    '../_base_/models/lpt_micro-vit.py',
    '../_base_/long_tailed_160.py',
    '../_base_/samplers/dual_stream.py',
    '../_base_/schedules/lpt_micro.py',
    '../_base_/default_runtime_long_tailed.py',
]

dataset = 'scenes_lt'
train_dataloader = dict(batch_size=32)  # of each stream
