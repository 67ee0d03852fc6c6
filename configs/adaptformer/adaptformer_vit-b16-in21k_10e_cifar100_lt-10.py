_base_ = './adaptformer_vit-b16-in21k_10e_cifar100_lt-100.py'

train_dataloader = dict(dataset=dict(imbalance=10))
test_dataloader = dict(dataset=dict(imbalance=10))
