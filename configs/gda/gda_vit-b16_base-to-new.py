# GDA from base to new classes: class weights of new classes are made from their text and from its nearest base images.
#   vlprompt train gda_vit-b16_base-to-new --dataset dtd --work-dir w/base --test
#   vlprompt test gda_vit-b16_base-to-new w/base/epoch_1.pth --dataset dtd --other-classes \
#       --cfg-options subset=new
_base_ = './gda_vit-b16.py'

subset = 'base'
# Published for base classes: the mean of their covariances and its pseudo-inverse, without shrinkage.
model = dict(solver=dict(covariance='class_mean', shrinkage=False, keep_rows=True, neighbours=64, text_copies=16))
# Its alpha has another scale: the one that was chosen most often, for any number of shots.
recipes = [
    dict(model=dict(prompt=dict(templates='${templates}'), solver=dict(alpha=0.1))),
    dict(dataset='imagenet*', model=dict(prompt=dict(templates='ensemble-7'))),
]
