_base_ = [
    '../_base_/models/vpt_vit-b16-in21k.py',
    '../_base_/datasets/imagenet_sketch_224x224.py',
    '../_base_/schedules/visual_100e.py',
    '../_base_/default_runtime_long_tailed.py',
]

model = dict(class_names='imagenet_sketch')
