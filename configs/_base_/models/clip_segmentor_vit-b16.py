# Segmentation by words: CLIP ViT-B/16 in windows; nothing is trained. Methods differ in the local features.
task = 'seg'
test_scale = (2048, '${short_side}')
# By dataset, in the recipes of a method: short_side, pixels to which images are resized; crop_size and crop_stride of
# windows; threshold, below which the most probable class gives way to the background; logit_scale before the softmax.
data_preprocessor = dict(
    type='vlprompt.SegPreprocessor',
    mean=None,  # as the weights were trained
    std=None,
    bgr_to_rgb=True,
)
model = dict(
    type='vlprompt.ClipSegmentor',
    class_names='${class_names}',
    data_preprocessor=data_preprocessor,
    clip=dict(arch='ViT-B/16', weights='openai'),
    words='${words}',
    templates='ensemble-80',
    logit_scale='${logit_scale}',
    threshold='${threshold}',
    background='${background}',
    test_cfg=dict(mode='${windows}', crop_size='${crop_size}', stride='${crop_stride}'),
)
