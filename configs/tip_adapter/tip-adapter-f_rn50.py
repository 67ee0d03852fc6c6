# Tip-Adapter-F: Tip-Adapter with trained keys.
#   vlprompt train tip-adapter-f_rn50 --dataset caltech101 --shots 16 --seed 1 --test
_base_ = './tip-adapter_rn50.py'

# AdamW on the keys, half a cosine per step. The epochs see the views of the cache in turn; views=30, cache_views=10
# crops anew in every epoch, as published.
model = dict(solver=dict(type='vlprompt.TipAdapterF', lr=1e-3, batch_size=256))

recipes = [
    *_base_.recipes,
    dict(model=dict(solver=dict(epochs=20))),
    dict(dataset='eurosat', model=dict(solver=dict(epochs=100))),
]
