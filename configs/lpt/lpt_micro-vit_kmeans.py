# LPT with keys that start at the centres of the centred queries.
#   python tools/train.py configs/lpt/lpt_micro-vit_kmeans.py --test
_base_ = './lpt_micro-vit.py'

phases = dict(groups=dict(model=dict(tuner=dict(pool=dict(key_init='kmeans', center=True)))))
