# GDA on long-tailed data: all training images, many of some classes and few of others.
#   python tools/train.py configs/gda/gda_vit-b16_long-tailed.py --dataset places_lt --test
_base_ = './gda_vit-b16.py'

task, dataset, shots = 'long_tailed', 'places_lt', None
crop_interpolation = 'bicubic'
model = dict(
    solver=dict(
        prior='uniform',  # as in the balanced test set
        covariance='class_mean',  # so that classes with many images do not dominate; 'pooled': over all rows
    )
)
test_dataloader = dict(dataset=dict(pipeline='${short_side_pipeline}'))
test_cfg = dict(type='vlprompt.FeatureTestLoop', store='work_dirs/image_features')  # computed once for all settings
recipes = [dict(model=dict(prompt=dict(templates='a photo of a {}.'), solver=dict(alpha=10.0)))]
