# 2SFS: layer norms of both towers for 60 % of the steps, then a classifier that starts from the tuned text features.
# 65,536 numbers and then 512 for each class; 300 x shots steps in all.
#   vlprompt train 2sfs_vit-b16 --dataset caltech101 --shots 16 --seed 1 --test
# Base to new: train on the first half of the classes; the others have text features of the tuned text tower.
#   vlprompt train 2sfs_vit-b16 --dataset dtd --work-dir w/base --cfg-options subset=base
#   vlprompt test 2sfs_vit-b16 w/base/classifier/iter_1920.pth --dataset dtd \
#       --other-classes --cfg-options subset=new
_base_ = [
    '../_base_/models/tuned_vit-b16.py',
    '../_base_/schedules/few_shot_adamw.py',
    '../_base_/default_runtime_steps.py',
]

dataset, shots = 'caltech101', 16
phases = dict(
    norms=dict(
        model=dict(trainable=['clip.*.ln_*']),  # gains and biases of all layer norms
        train_cfg=dict(max_iters='${shots * 180}'),
    ),
    classifier=dict(
        model=dict(
            prompt=dict(type='vlprompt.ClassWeights'),
            trainable=['prompt.weight'],
            trained_before=['clip.*.ln_*'],  # frozen now, but part of the checkpoint
        ),
        train_cfg=dict(max_iters='${shots * 120}'),
        start_from=dict(keys=['clip.*.ln_*']),
    ),
)
