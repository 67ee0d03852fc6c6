# The built-in micro towers, which were trained with CLIP's own normalisation, at 128 x 64 pixels.
_base_ = './reid_rn50.py'

model = dict(
    clip=dict(arch='micro-rn', weights='scenes', image_size=(128, 64)),
    data_preprocessor=dict(_delete_=True, type='vlprompt.ClipPreprocessor'),
)
