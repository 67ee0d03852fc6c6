_base_ = [
    '../_base_/models/reid_vit-b16.py',
    '../_base_/datasets/vehicleid_256x256.py',
    '../_base_/schedules/reid_vit_60e.py',
    '../_base_/default_runtime.py',
]

model = dict(clip=dict(image_size=(256, 256)), label_smoothing=0.0)
optim_wrapper = dict(optimizer=dict(lr=5e-5))
