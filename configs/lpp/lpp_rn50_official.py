# LP++ as published: the gradient of alpha adds up, the bias starts at random, validation images choose the step.
#   vlprompt train lpp_rn50_official --dataset caltech101 --shots 16 --seed 1 --test
_base_ = './lpp_rn50.py'

model = dict(solver=dict(alpha_gradient='accumulated', bias='random'))
train_cfg = dict(tune='shots')
