# ZS-LP: CLAP without its constraint, a linear probe that starts from the zero-shot classifier.
#   vlprompt train zs-lp_rn50 --dataset caltech101 --shots 16 --seed 1 --test
_base_ = './clap_rn50.py'

model = dict(solver=dict(constraint='none'))
