# BitFit: all biases of both towers, 171,008 numbers, 300 x shots steps.
#   vlprompt train biases_vit-b16 --dataset caltech101 --shots 16 --seed 1 --test
_base_ = './norms_vit-b16.py'

# As released: ['clip.*.bias'], 124,928, without the packed biases of queries, keys and values.
model = dict(trainable=['clip.*bias'])
