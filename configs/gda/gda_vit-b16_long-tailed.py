# GDA on long-tailed data: all training images, many of some classes and few of others.
#   vlprompt train gda_vit-b16_long-tailed --dataset places_lt --test
_base_ = './gda_vit-b16.py'

task, dataset, shots = 'long_tailed', 'places_lt', None
resize_mode = None  # of the images of a test; None: as when the weights were trained
test_pipeline = [
    '${load_image}',
    dict(
        type='vlprompt.SquareImage', size='${image_size}', mode='${resize_mode}', interpolation='${test_interpolation}'
    ),
    dict(type='vlprompt.PackClassification'),
]
model = dict(
    solver=dict(
        prior='uniform',  # as in the balanced test set
        covariance='class_mean',  # so that classes with many images do not dominate; 'pooled': over all rows
    )
)
test_cfg = dict(type='vlprompt.FeatureTestLoop', store='work_dirs/image_features')  # computed once for all settings
recipes = [dict(model=dict(prompt=dict(templates='a photo of a {}.'), solver=dict(alpha=10.0)))]
