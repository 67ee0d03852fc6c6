# PCL-CLIP on ViTs: SGD with one small rate for all parameters, steps down after epochs 30 and 50 after a warm-up of 10
# epochs. An epoch is 200 batches of 32 identities x 8 images; before it the memory of centroids is filled.
_base_ = './reid_vit_60e.py'

train_dataloader = dict(batch_size=256, sampler=dict(batch_size=256, instances=8, batches=200))
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='SGD', lr=3.5e-4, momentum=0.9, weight_decay=5e-4),
    paramwise_cfg=dict(_delete_=True),
)
auto_scale_lr = dict(base_batch_size=256)
custom_hooks = [dict(type='vlprompt.CentroidMemoryHook', batch_size=256)]
