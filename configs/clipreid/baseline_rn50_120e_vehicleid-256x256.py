_base_ = [
    '../_base_/models/reid_rn50.py',
    '../_base_/datasets/vehicleid_256x256.py',
    '../_base_/schedules/reid_rn50_120e.py',
    '../_base_/default_runtime.py',
]

model = dict(clip=dict(image_size=(256, 256)), label_smoothing=0.0)
