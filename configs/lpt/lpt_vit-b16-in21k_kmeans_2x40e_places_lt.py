_base_ = './lpt_vit-b16-in21k_2x40e_places_lt.py'

# Keys start at the centres of the queries, which are centred: a remedy of ours against keys that are never used.
phases = dict(groups=dict(model=dict(tuner=dict(pool=dict(key_init='kmeans', center=True)))))
