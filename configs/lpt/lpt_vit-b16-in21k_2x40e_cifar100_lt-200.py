_base_ = './lpt_vit-b16-in21k_2x40e_cifar100_lt-100.py'

train_dataloader = dict(dataset=dict(imbalance=200))
test_dataloader = dict(dataset=dict(imbalance=200))
