# Every class equally often: classes in turn, 4 images of each.
train_dataloader = dict(sampler=dict(type='vlprompt.ClassAwareSampler', samples_per_class=4))
