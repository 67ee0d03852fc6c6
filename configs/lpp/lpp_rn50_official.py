# LP++ as published: the gradient of alpha adds up, the bias starts at random, validation images choose the step.
#   python tools/train.py configs/lpp/lpp_rn50_official.py --dataset caltech101 --shots 16 --seed 1 --test
_base_ = './lpp_rn50.py'

model = dict(solver=dict(alpha_gradient='accumulated', bias='random'))
train_cfg = dict(tune='shots')
