# ProKeR: kernel ridge regression of the residual of the zero-shot classifier, in closed form.
#   vlprompt train proker_rn50 --dataset caltech101 --shots 16 --seed 1 --test
_base_ = ['../_base_/models/features_rn50.py', '../_base_/schedules/fit.py', '../_base_/default_runtime.py']

dataset, shots = 'caltech101', 16
crop_scale = (0.5, 1.0)
model = dict(
    solver=dict(
        type='vlprompt.ProKeR',
        max_rows=20_000,  # with more, views are left out: time grows with their cube
    )
)

# beta and lambda: what was chosen on ImageNet for so many shots, whatever the data.  betas, lambdas: the grids of
# train_cfg.tune (low end, high end, number), by dataset.
recipes = [
    dict(model=dict(prompt=dict(templates='${templates}'), solver=dict(views=10, beta=1.7, lambda_=0.1))),
    dict(max_shots=8, model=dict(solver=dict(beta=1.66, lambda_=0.07))),
    dict(max_shots=4, model=dict(solver=dict(beta=1.5, lambda_=0.05))),
    dict(max_shots=2, model=dict(solver=dict(beta=2.6, lambda_=0.05))),
    dict(max_shots=1, model=dict(solver=dict(beta=3.0, lambda_=0.05))),
    dict(dataset=('dtd', 'oxford_flowers'), model=dict(solver=dict(betas=(0.1, 10, 20), lambdas=(0.001, 10, 100)))),
    dict(dataset='eurosat', model=dict(solver=dict(betas=(0.5, 3, 20), lambdas=(0.001, 1, 100)))),
    dict(dataset='oxford_pets', model=dict(solver=dict(betas=(0.01, 5, 40), lambdas=(0.01, 0.3, 20)))),
    dict(dataset='stanford_cars', model=dict(solver=dict(betas=(0.1, 10, 5), lambdas=(0.01, 1, 5)))),
    dict(dataset='sun397', model=dict(solver=dict(betas=(0.1, 10, 20), lambdas=(0.01, 10, 10)))),
    dict(
        dataset='imagenet*',
        model=dict(
            prompt=dict(templates='ensemble-7'), solver=dict(views=1, betas=(1.5, 3, 10), lambdas=(0.05, 0.25, 10))
        ),
    ),
]
