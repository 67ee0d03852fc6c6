# CIFAR100-LT with the first class 10 times as large as the last.
_base_ = './cifar100_lt.py'

imbalance = 10
