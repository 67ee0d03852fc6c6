# LP++: a linear probe added to text logits with a learned weight per class, by full-batch gradient descent.
#   vlprompt train lpp_rn50 --dataset caltech101 --shots 16 --seed 1 --test
_base_ = ['../_base_/models/features_rn50.py', '../_base_/schedules/fit.py', '../_base_/default_runtime.py']

dataset, shots = 'caltech101', 16
crop_scale = (0.5, 1.0)
model = dict(
    solver=dict(
        type='vlprompt.LPPlusPlus',
        views=1,  # augmented views of every training image
        steps=300,  # with train_cfg.tune at most
        alpha_gradient='fresh',  # of alpha; 'accumulated': summed over all iterations, as published
        bias='zero',  # start of the bias; 'random' as published, 'none' as in the paper
    )
)

recipes = [
    dict(model=dict(prompt=dict(templates='${templates}'))),
    dict(dataset='imagenet*', model=dict(prompt=dict(templates='ensemble-7'))),
]
