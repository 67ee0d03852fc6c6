# The built-in micro towers, which were trained with CLIP's own normalisation, at 128 x 64 pixels.
_base_ = './reid_vit-b16.py'

image_size = (128, 64)
crop_padding = 5
model = dict(
    label_smoothing=0.1,
    clip=dict(arch='micro-vit', weights='scenes'),
    data_preprocessor=dict(_delete_=True, type='vlprompt.ClipPreprocessor'),
)
