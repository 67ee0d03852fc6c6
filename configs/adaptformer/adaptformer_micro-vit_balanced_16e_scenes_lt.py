_base_ = './adaptformer_micro-vit_16e_scenes_lt.py'

# Class-balanced sampling and cross-entropy in place of logit adjustment.
model = dict(loss=dict(tau=0.0))
train_dataloader = dict(sampler=dict(_delete_=True, type='vlprompt.ClassAwareSampler', samples_per_class=4))
