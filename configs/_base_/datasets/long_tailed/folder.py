# Your own long-tailed images, a folder per class: DIR/{train,test}/<class name>/<image>.
#   --dataset folder --data-root DIR
_base_ = './_shared.py'

data_root = 'data/mine'
val_dataloader = None
val_evaluator = None
