# Linear probe: logistic regression on image features, without text.
#   vlprompt train linear-probe_rn50 --dataset caltech101 --shots 16 --seed 1 --test
#   vlprompt train linear-probe_rn50 --shots 4 --cfg-options train_cfg.tune=few
_base_ = ['../_base_/models/features_rn50.py', '../_base_/schedules/fit.py', '../_base_/default_runtime.py']

dataset, shots = 'caltech101', 16
model = dict(
    solver=dict(
        type='vlprompt.LinearProbe',
        C=1.0,  # inverse strength of the penalty; published: chosen on validation images
        views=None,  # no augmentation
    )
)

recipes = [dict(model=dict(prompt=dict(templates='${templates}')))]
