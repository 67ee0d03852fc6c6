# GDA: a Gaussian classifier in closed form, added to the zero-shot logits; nothing is trained.
#   vlprompt train gda_rn50 --dataset caltech101 --shots 16 --seed 1 --test
_base_ = ['../_base_/models/features_rn50.py', '../_base_/schedules/fit.py', '../_base_/default_runtime.py']

dataset, shots = 'caltech101', 16
crop_scale = (0.5, 1.0)
model = dict(
    solver=dict(
        type='vlprompt.GDA',
        prior='uniform',  # 'empirical': class frequencies of the training images
        covariance='pooled',  # 'class_mean': the mean of the classes' covariances
        views=10,  # augmented views of every training image, each a row
    )
)

# Weight of the Gaussian logits: what was chosen on ImageNet for so many shots, whatever the data.
recipes = [
    dict(model=dict(prompt=dict(templates='${templates}'), solver=dict(alpha=10.0))),
    dict(max_shots=8, model=dict(solver=dict(alpha=1.0))),
    dict(max_shots=2, model=dict(solver=dict(alpha=0.1))),
    dict(max_shots=1, model=dict(solver=dict(alpha=0.01))),
    dict(dataset='imagenet*', model=dict(prompt=dict(templates='ensemble-7'))),
]
