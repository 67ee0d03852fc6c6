# CoCoOp: 4 context vectors, moved for every image by a small network; 4 x 512 + 33,312 = 35,360 trained parameters
# (41,504 with init=None and n_ctx=16).
#   python tools/train.py configs/cocoop/cocoop_vit-b16.py --dataset caltech101 --shots 16 --seed 1 --test
_base_ = ['../_base_/models/clip_rn50.py', '../_base_/schedules/few_shot.py', '../_base_/default_runtime.py']

dataset, shots = 'caltech101', 16
model = dict(
    clip=dict(arch='ViT-B/16'),
    prompt=dict(type='vlprompt.ConditionalPrompt', init='a photo of a'),
    alignment=dict(type='vlprompt.CosineAlignment'),
    trainable=['prompt.*'],
)
train_dataloader = dict(batch_size=1)  # as published: the text tower runs for every image
train_cfg = dict(max_epochs=10)
auto_scale_lr = dict(base_batch_size=1)
