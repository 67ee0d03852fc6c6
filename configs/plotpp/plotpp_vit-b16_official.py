# The published PLOT++: Sinkhorn stops for the whole batch at once, and four datasets have templates that are too long,
# too short or equal to one another.
#   vlprompt train plotpp_vit-b16_official --dataset eurosat --test
_base_ = './plotpp_vit-b16.py'

model = dict(alignment=dict(method='legacy', max_iters=100, tol=1e-2))

recipes = [
    *_base_.recipes,
    dict(
        dataset='eurosat',
        model=dict(
            prompt=dict(
                n_ctx=5,  # the words that follow stay as they are
                init=[
                    'a centered satellite photo of',
                    'a centered satellite picture of',
                    'this is centered satellite photo of',
                    'one centered satellite photo of a',
                ],
            )
        ),
    ),
    dict(
        dataset='oxford_flowers',
        model=dict(
            prompt=dict(
                init=[
                    'a photo of a flower',
                    'one picture of a flower',
                    'this is flower picture of',
                    'one picture of a flower',
                ]
            )
        ),
    ),
    dict(
        dataset='oxford_pets',
        model=dict(
            prompt=dict(
                init=['a photo of a pet', 'one picture of a pet', 'this is pet picture of', 'one picture of a pet']
            )
        ),
    ),
    dict(
        dataset='imagenet*',
        model=dict(
            prompt=dict(
                _delete_=True,
                type='vlprompt.PublishedContextPrompt',
                n_ctx=4,
                init=['a photo of a', 'this is a photo', 'this is a', 'one picture of a'],  # the third is a word short
            )
        ),
    ),
]
