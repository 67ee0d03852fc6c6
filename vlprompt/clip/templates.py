"""Hand-written prompt templates of zero-shot CLIP (Radford et al., 2021, section 3.1.4)."""

from __future__ import annotations

from collections.abc import Sequence

PLAIN = 'a photo of a {}.'

HAND: dict[str, str] = {
    'imagenet': PLAIN,
    'imagenetv2': PLAIN,
    'imagenet_sketch': PLAIN,
    'imagenet_a': PLAIN,
    'imagenet_r': PLAIN,
    'caltech101': PLAIN,
    'stanford_cars': PLAIN,
    'sun397': PLAIN,
    'scenes': PLAIN,
    'oxford_pets': 'a photo of a {}, a type of pet.',
    'oxford_flowers': 'a photo of a {}, a type of flower.',
    'fgvc_aircraft': 'a photo of a {}, a type of aircraft.',
    'food101': 'a photo of {}, a type of food.',
    'dtd': '{} texture.',
    'eurosat': 'a centered satellite photo of {}.',
    'ucf101': 'a photo of a person doing {}.',
}
"""The custom template of every dataset, as in CoOp's zero-shot baseline."""

ENSEMBLE_7 = (
    'itap of a {}.',
    'a bad photo of the {}.',
    'a origami {}.',
    'a photo of the large {}.',
    'a {} in a video game.',
    'art of the {}.',
    'a photo of the small {}.',
)
"""The seven templates that CLIP's authors selected on ImageNet."""


def _ensemble_80() -> tuple[str, ...]:
    """The eighty ImageNet templates: 38 phrases for each article, and 4 with another determiner."""
    kinds = (
        'bad photo',
        'low resolution photo',
        'cropped photo',
        'bright photo',
        'dark photo',
        'close-up photo',
        'black and white photo',
        'pixelated photo',
        'jpeg corrupted photo',
        'blurry photo',
        'good photo',
        'photo',
        'sculpture',
        'rendering',
        'tattoo',
        'drawing',
        'painting',
        'doodle',
        'sketch',
        'rendition',
    )
    states = ('hard to see', 'clean', 'dirty', 'cool', 'large', 'nice', 'weird', 'small')
    materials = ('embroidered', 'plastic', 'origami', 'toy', 'cartoon', 'plushie')
    templates = []
    for article in ('a', 'the'):
        templates += [f'a {kind} of {article} {{}}.' for kind in kinds]
        templates += [f'a photo of {article} {state} {{}}.' for state in states]
        templates += [f'{article} {material} {{}}.' for material in materials]
        templates += [f'{article} {{}} in a video game.']
        templates += [f'{medium} of {article} {{}}.' for medium in ('graffiti', 'art', 'itap')]
    templates += ['a photo of many {}.', 'a photo of my {}.', 'a photo of one {}.', 'itap of my {}.']
    return tuple(templates)


ENSEMBLE_80 = _ensemble_80()


_NOT_IN_60 = {
    'a plushie {}.',
    'a good photo of a {}.',
    'a jpeg corrupted photo of the {}.',
    'the plushie {}.',
    'the cartoon {}.',
    'a toy {}.',
    *(f'a photo of the {state} {{}}.' for state in ('nice', 'small', 'weird', 'large')),
    *(f'a photo of a {state} {{}}.' for state in ('cool', 'small')),
    'a black and white photo of a {}.',
    'a dark photo of a {}.',
    'a drawing of the {}.',
    'a tattoo of the {}.',
    'art of the {}.',
    'graffiti of the {}.',
    'itap of a {}.',
    'itap of my {}.',
}

ENSEMBLE_60 = tuple(template for template in ENSEMBLE_80 if template not in _NOT_IN_60)
"""The first sixty of these in the order in which CLIP's authors published them; the teacher of PromptSRC has them."""


def places_of_name(template: str) -> int:
    """How often ``{}`` stands in a template; 0 if there are other braces."""
    rest = template.replace('{}', '')
    return 0 if '{' in rest or '}' in rest else template.count('{}')


def templates(spec: str | Sequence[str]) -> list[str]:
    """Resolve prompt templates; ``{}`` marks the class name.

    Args:
        spec: one of

            * a list of templates, returned unchanged;
            * a dataset key: its hand-written template (one);
            * ``'ensemble-80'``: the eighty ImageNet templates; ``'ensemble-60'``: those of PromptSRC's teacher;
            * ``'ensemble-7'``: the seven selected ones; ``'ensemble-7:<dataset>'`` appends the dataset's own
              template (8 in all), except for ImageNet and its variants, as the CoOp baselines do.

    Raises:
        ValueError: an unknown name.

    Example:
        >>> templates('ensemble-7:dtd')[-1]
        '{} texture.'
    """
    if not isinstance(spec, str):
        return list(spec)
    name, _, dataset = spec.partition(':')
    if name == 'ensemble-7' and not dataset:
        return list(ENSEMBLE_7)
    if name == 'ensemble-7' and dataset in HAND:
        own = [] if dataset.startswith('imagenet') else [HAND[dataset]]
        return [*ENSEMBLE_7, *own]
    if spec in ('ensemble-60', 'ensemble-80'):
        return list(ENSEMBLE_60 if spec == 'ensemble-60' else ENSEMBLE_80)
    if spec in HAND:
        return [HAND[spec]]
    raise ValueError(
        f"unknown templates {spec!r}. Give a list of strings with '{{}}' for the class name, 'ensemble-80', "
        f"'ensemble-60', 'ensemble-7', 'ensemble-7:<dataset>', or a dataset: {', '.join(HAND)}."
    )
