# Baseline of re-identification on a ViT-S/16 pre-trained on photographs of persons (TransReID-SSL, PersonViT); no CLIP.
#   vlprompt train baseline_person-vit-s16 --dataset market1501 --amp --test \
#       --cfg-options model.timm.weights=FILE
_base_ = './baseline_person-vit-b16.py'

model = dict(timm=dict(weights='weights/person_vit-s16.pth', arch=dict(width=384, heads=6)))
