_base_ = './vpt_vit-b16-in21k_balanced_100e_cifar100_lt-100.py'

train_dataloader = dict(dataset=dict(imbalance=50))
test_dataloader = dict(dataset=dict(imbalance=50))
