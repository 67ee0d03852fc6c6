# CoOp with class-specific context.
#   vlprompt train coop_rn50_csc --dataset caltech101 --shots 16 --seed 1 --test
_base_ = './coop_rn50.py'

model = dict(prompt=dict(class_specific=True))
