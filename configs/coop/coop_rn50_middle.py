# CoOp with the class name in the middle of the context.
#   vlprompt train coop_rn50_middle --dataset caltech101 --shots 16 --seed 1 --test
_base_ = './coop_rn50.py'

model = dict(prompt=dict(position='middle'))
