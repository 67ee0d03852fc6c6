# LPT's two streams: a class-balanced half of every batch, then a half that is drawn uniformly from all images.
train_dataloader = dict(
    sampler=dict(type='vlprompt.ClassAwareSampler', samples_per_class=4),
    batch_sampler=dict(type='vlprompt.DualStreamBatchSampler'),
)
