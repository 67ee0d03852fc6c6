# Your own images in Market-1501's layout: DIR/{bounding_box_train,query,bounding_box_test}/<identity>_c<camera>*.
#   --dataset folder --data-root DIR
# For vehicles: --cfg-options train_dataloader.dataset.noun=vehicle
_base_ = './_shared.py'

data_root = 'data/mine'
