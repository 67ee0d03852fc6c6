# Tip-Adapter: a cache of the training images' features, added to the zero-shot logits; nothing is trained.
#   vlprompt train tip-adapter_rn50 --dataset caltech101 --shots 16 --seed 1 --test
_base_ = ['../_base_/models/features_rn50.py', '../_base_/schedules/fit.py', '../_base_/default_runtime.py']

dataset, shots = 'caltech101', 16
crop_scale = (0.5, 1.0)
model = dict(
    solver=dict(
        type='vlprompt.TipAdapter',
        views=10,  # augmented views of every training image, averaged for its key
        beta=1.0,  # sharpness of the affinities
    )
)

# alpha, the weight of the cache: the published starting value of the dataset.  search_scale: upper ends of the grids of
# beta and alpha for train_cfg.tune.
recipes = [
    dict(model=dict(prompt=dict(templates='${templates}'), solver=dict(alpha=1.17, search_scale=(7, 3)))),
    dict(dataset='caltech101', model=dict(solver=dict(alpha=3.0, search_scale=(12, 5)))),
    dict(dataset='dtd', model=dict(solver=dict(alpha=2.0, search_scale=(13, 13)))),
    dict(dataset='eurosat', model=dict(solver=dict(alpha=2.0, search_scale=(12, 10)))),
    dict(dataset='fgvc_aircraft', model=dict(solver=dict(alpha=5.0, search_scale=(30, 30)))),
    dict(dataset='food101', model=dict(solver=dict(search_scale=(10, 10)))),
    dict(dataset='oxford_flowers', model=dict(solver=dict(alpha=10.0, search_scale=(50, 50)))),
    dict(dataset='stanford_cars', model=dict(solver=dict(alpha=3.0, search_scale=(20, 10)))),
    dict(dataset='sun397', model=dict(solver=dict(search_scale=(12, 10)))),
    dict(dataset='ucf101', model=dict(solver=dict(alpha=3.0))),
    dict(dataset='imagenet*', model=dict(prompt=dict(templates='ensemble-7'))),
]
