# The built-in micro towers, which were trained with CLIP's own normalisation, at 128 x 64 pixels.
_base_ = './reid_vit-b16.py'

model = dict(
    clip=dict(arch='micro-vit', weights='scenes', image_size=(128, 64)),
    data_preprocessor=dict(_delete_=True, type='vlprompt.ClipPreprocessor'),
)
