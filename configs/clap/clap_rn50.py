# CLAP: class prototypes that start from the text and are held near it, by SGD; no validation images.
#   vlprompt train clap_rn50 --dataset caltech101 --shots 16 --seed 1 --test
_base_ = ['../_base_/models/features_rn50.py', '../_base_/schedules/fit.py', '../_base_/default_runtime.py']

dataset, shots = 'caltech101', 16
model = dict(
    solver=dict(
        type='vlprompt.CLAP',
        constraint='class',  # a multiplier for each class; 'none': ZS-LP
        views=20,  # augmented views of every training image, each a row
        lr=0.1,
        epochs=300,
        batch_size=256,
    )
)

recipes = [
    dict(model=dict(prompt=dict(templates='${templates}'))),
    dict(
        dataset='imagenet*',
        model=dict(
            prompt=dict(
                templates=[  # the seven of Tip-Adapter and one more
                    'itap of a {}.',
                    'a bad photo of the {}.',
                    'a origami {}.',
                    'a photo of the large {}.',
                    'a {} in a video game.',
                    'art of the {}.',
                    'a photo of the small {}.',
                    'a photo of a {}.',
                ]
            )
        ),
    ),
]
