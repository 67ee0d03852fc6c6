_base_ = './vpt_vit-b16-in21k_100e_custom.py'

train_dataloader = dict(sampler=dict(_delete_=True, type='vlprompt.ClassAwareSampler', samples_per_class=4))
