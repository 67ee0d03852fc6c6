_base_ = [
    '../_base_/models/zero-shot_rn50.py',
    '../_base_/datasets/fgvc_aircraft.py',
    '../_base_/default_runtime.py',
]

model = dict(class_names='fgvc_aircraft', prompt=dict(templates='fgvc_aircraft'))
