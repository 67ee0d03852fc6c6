# LPT with keys that start at the centres of the centred queries: a remedy of ours against keys that are never used.
#   vlprompt train lpt_vit-b16-in21k_kmeans --dataset places_lt --test
_base_ = './lpt_vit-b16-in21k.py'

phases = dict(groups=dict(model=dict(tuner=dict(pool=dict(key_init='kmeans', center=True)))))
