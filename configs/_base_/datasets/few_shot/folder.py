# Your own images, a folder per class: DIR/{train,val,test}/<class name>/<image>. Class names are the folders' names.
#   --dataset folder --data-root DIR
_base_ = './_shared.py'

data_root = 'data/mine'
