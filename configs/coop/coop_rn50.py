# CoOp: 16 learned context vectors before the class name, 16 x 512 = 8,192 trained parameters.
#   vlprompt train coop_rn50 --dataset caltech101 --shots 16 --seed 1 --test
_base_ = ['../_base_/models/clip_rn50.py', '../_base_/schedules/few_shot.py', '../_base_/default_runtime.py']

dataset, shots = 'caltech101', 16
model = dict(
    prompt=dict(
        type='vlprompt.ContextPrompt',
        n_ctx=16,  # context vectors; 4 when they start from the words "a photo of a"
        position='end',  # of the class name: 'end', 'middle' or 'front'
        class_specific=False,  # True: separate vectors for every class ("CSC")
    ),
    alignment=dict(type='vlprompt.CosineAlignment'),
    trainable=['prompt.context'],
)

# The published recipe: epochs by shots, and for ImageNet whatever the shots.
recipes = [
    dict(train_cfg=dict(max_epochs=200), auto_scale_lr=dict(base_batch_size=32)),
    dict(max_shots=4, train_cfg=dict(max_epochs=100)),
    dict(max_shots=1, train_cfg=dict(max_epochs=50)),
    dict(dataset='imagenet*', train_cfg=dict(max_epochs=50)),
]
