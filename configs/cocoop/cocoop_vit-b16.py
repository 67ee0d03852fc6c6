# CoCoOp: context vectors shifted by a small network on the image; 4 x 512 + 33,312 = 35,360 trained parameters.
#   vlprompt train cocoop_vit-b16 --dataset caltech101 --shots 16 --seed 1 --test
# Base to new: train on the first half of the classes, test on the other half.
#   vlprompt train cocoop_vit-b16 --dataset dtd --work-dir w/base --cfg-options subset=base
#   vlprompt test cocoop_vit-b16 w/base/epoch_10.pth --dataset dtd --other-classes \
#       --cfg-options subset=new
_base_ = ['../_base_/models/clip_rn50.py', '../_base_/schedules/few_shot.py', '../_base_/default_runtime.py']

dataset, shots = 'caltech101', 16
model = dict(
    clip=dict(arch='ViT-B/16'),
    prompt=dict(
        type='vlprompt.ConditionalPrompt',
        init='a photo of a',  # 4 vectors; init=None and n_ctx=16 for 41,504 parameters
        reduction=16,  # the meta net has 512 // 16 = 32 hidden channels
    ),
    alignment=dict(type='vlprompt.CosineAlignment'),
    trainable=['prompt.*'],
)
# The text tower runs for every image, over all classes: one image a step, as published.
train_dataloader = dict(batch_size=1)
recipes = [dict(train_cfg=dict(max_epochs=10), auto_scale_lr=dict(base_batch_size=1))]
