# CIFAR100-LT, cut out of CIFAR-100 when it is loaded, with the first class 100 times as large as the last.
_base_ = './_shared.py'

imbalance = 100  # images of the first class per image of the last: 200, 100, 50 or 10
split_seed = 0  # of the cut: 0 keeps the images of LDAM and LIFT, 42 those of LPT
train_dataloader = dict(dataset=dict(dataset='cifar100_lt', imbalance='${imbalance}', split_seed='${split_seed}'))
val_dataloader = None
val_evaluator = None
test_dataloader = dict(dataset=dict(dataset='cifar100_lt', imbalance='${imbalance}', split_seed='${split_seed}'))
