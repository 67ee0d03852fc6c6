_base_ = './coop_rn50_16shot_caltech101.py'

model = dict(prompt=dict(position='middle'))
