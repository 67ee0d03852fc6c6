# PCL-CLIP: one phase, contrast with a memory of identity centroids beside an identity loss; the built-in micro ViT.
#   vlprompt train pcl_micro-vit --test
_base_ = [
    '../_base_/models/reid_micro-vit.py',
    '../_base_/schedules/reid_micro_20e.py',
    '../_base_/default_runtime_reid.py',
]

dataset = 'scenes_reid'
train_dataloader = dict(  # 8 identities x 8 images
    num_workers=0, persistent_workers=False, sampler=dict(instances=8)
)
model = dict(
    weights=dict(id=0.0, id_proj=0.0, id_both=0.25, triplet_last=0.0, triplet=0.0, triplet_proj=0.0, centroid=1.0),
    centroids=dict(temperature=0.05, momentum=0.2),
    descriptor='after',
    frozen=['visual.conv1.*'],
)
custom_hooks = [dict(type='vlprompt.CentroidMemoryHook')]
