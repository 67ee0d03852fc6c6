# Your own classes, with images/{train,val}/, masks/{train,val}/ and classnames.txt in data/custom: see data/README.md.
# The names are those of classnames.txt; more than 3 tokens need a larger backbone.matching.prompt.context_length.
_base_ = [
    '../_base_/models/denseclip_fpn_micro-rn.py',
    '../_base_/datasets/custom_seg_128x128.py',
    '../_base_/schedules/adamw_poly_micro.py',
    '../_base_/default_runtime_seg_micro.py',
]
