# LPT as in the published script and weights: epsilon 1e-5, 90 epochs, LPT's count of class groups.
#   vlprompt train lpt_vit-b16-in21k_official --dataset places_lt --test
_base_ = [
    '../_base_/models/lpt_vit-b16-in21k.py',
    '../_base_/samplers/dual_stream.py',
    '../_base_/schedules/lpt_official_90e.py',
    '../_base_/default_runtime_long_tailed.py',
]

dataset = 'places_lt'
model = dict(timm=dict(norm_eps=1e-5))
train_dataloader = dict(batch_size=256)
val_evaluator = dict(convention='lpt')
test_evaluator = dict(convention='lpt')
