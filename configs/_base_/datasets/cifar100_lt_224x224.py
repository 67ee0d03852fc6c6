# CIFAR100-LT, cut out of CIFAR-100 when it is loaded. Another ratio: imbalance = 200, 50 or 10 in both data sets, or
#   --cfg-options train_dataloader.dataset.imbalance=50 test_dataloader.dataset.imbalance=50
# split_seed=42 keeps the images of LPT, 0 those of LDAM and LIFT.
_base_ = './long_tailed_224x224.py'

train_dataloader = dict(dataset=dict(dataset='cifar100_lt', imbalance=100, split_seed=0))
val_dataloader = None
val_evaluator = None
test_dataloader = dict(dataset=dict(dataset='cifar100_lt', imbalance=100, split_seed=0))
