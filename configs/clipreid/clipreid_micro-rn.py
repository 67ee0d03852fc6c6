# CLIP-ReID: learns identity descriptions, then the image tower, contrasted with them; the built-in micro ResNet.
#   vlprompt train clipreid_micro-rn --test
_base_ = [
    '../_base_/models/reid_micro-rn.py',
    '../_base_/schedules/clipreid_micro_20e.py',
    '../_base_/default_runtime_reid.py',
]

dataset = 'scenes_reid'
train_dataloader = dict(num_workers=0, persistent_workers=False)  # small images, machines with few cores
phases = dict(prompts=dict(train_cfg=dict(max_epochs=60)))
