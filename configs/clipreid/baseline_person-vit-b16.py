# Baseline of re-identification on a ViT-B/16 pre-trained on photographs of persons (TransReID-SSL, PersonViT); no CLIP.
#   vlprompt train baseline_person-vit-b16 --dataset market1501 --amp --test \
#       --cfg-options model.timm.weights=FILE
_base_ = [
    '../_base_/models/reid_timm-vit.py',
    '../_base_/schedules/person_vit_120e.py',
    '../_base_/default_runtime_reid.py',
]

dataset = 'market1501'
model = dict(timm=dict(weights='weights/person_vit-b16.pth'))
