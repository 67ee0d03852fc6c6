# 2SFS with the built-in micro ViT.
#   vlprompt train 2sfs_micro-vit --test
_base_ = ['./2sfs_vit-b16.py', '../_base_/few_shot_scenes.py']

dataset = 'scenes'
model = dict(clip=dict(arch='micro-vit', weights='scenes'))
phases = dict(  # a 15th of the published steps: minutes on two cores
    norms=dict(train_cfg=dict(max_iters='${shots * 12}')),
    classifier=dict(train_cfg=dict(max_iters='${shots * 8}')),
)
