# Segmentation by words: nothing is trained. mmseg's mean of augmented predictions knows no background: no --tta.
_base_ = './default_runtime_seg.py'

tta_model = None
