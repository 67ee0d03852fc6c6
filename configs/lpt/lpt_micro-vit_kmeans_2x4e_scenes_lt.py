_base_ = './lpt_micro-vit_2x4e_scenes_lt.py'

# Keys start at the centres of the centred queries.
phases = dict(groups=dict(model=dict(tuner=dict(pool=dict(key_init='kmeans', center=True)))))
