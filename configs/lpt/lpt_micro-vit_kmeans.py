# LPT with keys that start at the centres of the centred queries.
#   vlprompt train lpt_micro-vit_kmeans --test
_base_ = './lpt_micro-vit.py'

phases = dict(groups=dict(model=dict(tuner=dict(pool=dict(key_init='kmeans', center=True)))))
