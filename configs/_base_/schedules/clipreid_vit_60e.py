# On ViTs the identity losses have a quarter of their weight; how long the prompts train, the method says by dataset.
_base_ = ['./reid_vit_60e.py', './clipreid_phases.py']

phases = dict(finetune=dict(model=dict(weights=dict(id=0.25, id_proj=0.25))))
