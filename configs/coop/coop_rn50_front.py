# CoOp with the class name before the context.
#   vlprompt train coop_rn50_front --dataset caltech101 --shots 16 --seed 1 --test
_base_ = './coop_rn50.py'

model = dict(prompt=dict(position='front'))
