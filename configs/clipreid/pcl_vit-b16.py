# PCL-CLIP: one phase, contrast with a memory of identity centroids beside an identity loss; CLIP's ViT-B/16.
#   vlprompt train pcl_vit-b16 --dataset market1501 --amp --test
_base_ = [
    '../_base_/models/reid_vit-b16.py',
    '../_base_/schedules/pcl_vit_60e.py',
    '../_base_/default_runtime_reid.py',
]

dataset = 'market1501'
model = dict(
    label_smoothing=0.1,
    weights=dict(id=0.0, id_proj=0.0, id_both=0.25, triplet_last=0.0, triplet=0.0, triplet_proj=0.0, centroid=1.0),
    centroids=dict(temperature=0.05, momentum=0.2),
    descriptor='after',
    frozen=['visual.conv1.*'],
)
