# IVLP: deep prompts in both towers, independent of one another; 12 x 2 x (512 + 768) = 30,720 trained parameters.
#   vlprompt train ivlp_vit-b16 --dataset caltech101 --shots 16 --seed 1 --test
# Base to new: train on the first half of the classes, test on the other half.
#   vlprompt train ivlp_vit-b16 --dataset dtd --work-dir w/base --cfg-options subset=base
#   vlprompt test ivlp_vit-b16 w/base/epoch_5.pth --dataset dtd --other-classes \
#       --cfg-options subset=new
_base_ = ['../_base_/models/clip_rn50.py', '../_base_/schedules/few_shot.py', '../_base_/default_runtime.py']

dataset, shots = 'caltech101', 16
model = dict(
    clip=dict(arch='ViT-B/16'),
    prompt=dict(
        type='vlprompt.ContextPrompt',
        init='a photo of a',
        n_ctx=2,  # "a photo" is learned, "of a" stays
        depth=12,  # blocks of the text tower with their own vectors
    ),
    visual=dict(
        type='vlprompt.VisualPrompt',
        length=2,
        depth=12,  # blocks of the image tower with their own tokens
        after_norm=False,
    ),
    alignment=dict(type='vlprompt.CosineAlignment'),
    trainable=['prompt.*', 'visual.*'],
)
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(optimizer=dict(lr=3.5e-3))
recipes = [dict(train_cfg=dict(max_epochs=5), auto_scale_lr=dict(base_batch_size=4))]
