# 2SFS as released: without the layer norms before and after the blocks, 61,440 numbers in the first phase.
#   vlprompt train 2sfs_vit-b16_official --dataset caltech101 --shots 16 --seed 1 --test
_base_ = './2sfs_vit-b16.py'

phases = dict(
    norms=dict(model=dict(trainable=['clip.*.ln_[12].*'])),
    classifier=dict(
        model=dict(trained_before=['clip.*.ln_[12].*']),
        start_from=dict(keys=['clip.*.ln_[12].*']),
    ),
)
