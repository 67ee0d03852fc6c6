# Tip-Adapter-F: Tip-Adapter with trained keys.
#   python tools/train.py configs/tip_adapter/tip-adapter-f_rn50.py --dataset caltech101 --shots 16 --seed 1 --test
_base_ = './tip-adapter_rn50.py'

# AdamW on the keys, half a cosine per step. The epochs see the views of the cache in turn; views=30, cache_views=10
# crops anew in every epoch, as published.
model = dict(solver=dict(type='vlprompt.TipAdapterF', lr=1e-3, batch_size=256))

recipes = [
    dict(model=dict(prompt=dict(templates='${templates}'), solver=dict(alpha=1.17, search_scale=(7, 3), epochs=20))),
    dict(dataset='caltech101', model=dict(solver=dict(alpha=3.0, search_scale=(12, 5)))),
    dict(dataset='dtd', model=dict(solver=dict(alpha=2.0, search_scale=(13, 13)))),
    dict(dataset='eurosat', model=dict(solver=dict(alpha=2.0, search_scale=(12, 10), epochs=100))),
    dict(dataset='fgvc_aircraft', model=dict(solver=dict(alpha=5.0, search_scale=(30, 30)))),
    dict(dataset='food101', model=dict(solver=dict(search_scale=(10, 10)))),
    dict(dataset='oxford_flowers', model=dict(solver=dict(alpha=10.0, search_scale=(50, 50)))),
    dict(dataset='stanford_cars', model=dict(solver=dict(alpha=3.0, search_scale=(20, 10)))),
    dict(dataset='sun397', model=dict(solver=dict(search_scale=(12, 10)))),
    dict(dataset='ucf101', model=dict(solver=dict(alpha=3.0))),
    dict(
        dataset=('imagenet', 'imagenetv2', 'imagenet_sketch', 'imagenet_a', 'imagenet_r'),
        model=dict(prompt=dict(templates='ensemble-7')),
    ),
]
