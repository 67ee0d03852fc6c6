# CLIP-LoRA: low-rank branches on queries, keys and values of all blocks of both towers; 184,320 trained parameters.
#   vlprompt train clip-lora_vit-b16 --dataset caltech101 --shots 16 --seed 1 --test
# The published draws of training images: --cfg-options draw=clip-lora
# Base to new: train on the first half of the classes, test on the other half.
#   vlprompt train clip-lora_vit-b16 --dataset dtd --work-dir w/base \
#       --cfg-options subset=base
#   vlprompt test clip-lora_vit-b16 w/base/iter_8000.pth --dataset dtd --other-classes \
#       --cfg-options subset=new
_base_ = [
    '../_base_/models/tuned_vit-b16.py',
    '../_base_/schedules/few_shot_adamw.py',
    '../_base_/default_runtime_steps.py',
]

dataset, shots = 'caltech101', 16
model = dict(
    clip=dict(
        lora=dict(
            rank=2,
            alpha=1,
            scaling='rank-stabilised',  # alpha / sqrt(rank); 'classic': alpha / rank
            targets=['q', 'k', 'v'],  # also 'out', 'fc', 'proj': the output projection and the MLP
            towers=['visual', 'text'],
            blocks=None,  # all; or their indices
            dropout=0.25,
        ),
    ),
    logit_scale=100.0,
    trainable=['clip.*.lora.*'],
)
train_cfg = dict(max_iters='${shots * 500}')
