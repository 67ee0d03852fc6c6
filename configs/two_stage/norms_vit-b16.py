# Layer norms of both towers alone, 65,536 numbers, 300 x shots steps.
#   vlprompt train norms_vit-b16 --dataset caltech101 --shots 16 --seed 1 --test
_base_ = [
    '../_base_/models/tuned_vit-b16.py',
    '../_base_/schedules/few_shot_adamw.py',
    '../_base_/default_runtime_steps.py',
]

dataset, shots = 'caltech101', 16
model = dict(trainable=['clip.*.ln_*'])  # as released: ['clip.*.ln_[12].*'], 61,440
train_cfg = dict(max_iters='${shots * 300}')
