"""Captions of a scene, as a person might write them."""

import numpy as np

from vlprompt.datasets.generated.spec import ObjectSpec, SceneSpec
from vlprompt.datasets.generated.vocabulary import (
    BACKDROP_STYLES,
    BACKGROUNDS,
    COLOURLESS_STYLES,
    COLOURS,
    CONDITIONS,
    FILLS,
    SHAPES,
    STYLES,
)

SIZES = {'small': ('small', 'tiny', 'little'), 'large': ('large', 'big', 'huge')}


def captions(spec: SceneSpec, rng: np.random.RandomState, count: int = 4) -> list[str]:
    """``count`` descriptions of a scene: the first names every object, the others only some of them.

    Wording, synonyms and which attributes are mentioned are drawn from ``rng``. Captions are always true:
    colours and backgrounds are not mentioned in styles that do not show them.
    """
    return [_caption(spec, rng, full=index == 0) for index in range(count)]


def noun(item: ObjectSpec, colour: bool = True) -> str:
    """Canonical name without an article, e.g. 'red striped star'."""
    words = ([item.colour] if colour else []) + ([] if item.fill == 'solid' else [item.fill]) + [item.shape]
    return ' '.join(words)


def article(phrase: str) -> str:
    """The phrase with 'a' or 'an' in front."""
    return f'{"an" if phrase[0] in "aeiou" else "a"} {phrase}'


def _pick(rng: np.random.RandomState, words: tuple[str, ...]) -> str:
    """The canonical word half of the time, otherwise any of them."""
    return words[0] if len(words) == 1 or rng.rand() < 0.5 else words[rng.randint(len(words))]


def _caption(spec: SceneSpec, rng: np.random.RandomState, full: bool) -> str:
    coloured = spec.style not in COLOURLESS_STYLES and spec.condition != 'grey'
    templates = CONDITIONS[spec.condition]
    if not templates or rng.rand() < 0.3:
        templates = STYLES[spec.style]
    template = templates[rng.randint(len(templates))]
    if '{bare}' in template:
        return template.format(bare=_describe(spec.main, rng, coloured, full))

    phrase = article(_describe(spec.main, rng, coloured, full))
    others = [item for item in spec.objects if item is not spec.main]
    if not full:
        others = others[: rng.randint(len(others) + 1)]
    for position, item in enumerate(others):
        link = _relation(spec.main, item, rng) if position == 0 else 'and'
        phrase += f' {link} {article(_describe(item, rng, coloured, full))}'
    if spec.style not in BACKDROP_STYLES and rng.rand() < 0.15:
        place = BACKGROUNDS[spec.background]
        link = ('in front of', 'on')[rng.randint(2)] if not place[0].endswith('sky') else 'in'
        phrase += f' {link} {_pick(rng, place)}'
    return template.format(phrase)


def _describe(item: ObjectSpec, rng: np.random.RandomState, coloured: bool, full: bool) -> str:
    """Size, colour, fill and shape; unless ``full``, each attribute is left out at times."""
    words = []
    if rng.rand() < 0.25:
        if item.radius < 0.16:
            words.append(_pick(rng, SIZES['small']))
        elif item.radius > 0.3:
            words.append(_pick(rng, SIZES['large']))
    if coloured and (full or rng.rand() < 0.2):
        words.append(_pick(rng, COLOURS[item.colour]))
    if item.fill != 'solid' and (full or rng.rand() < 0.8):
        words.append(_pick(rng, FILLS[item.fill]))
    elif item.fill == 'solid' and rng.rand() < 0.15:
        words.append(_pick(rng, FILLS['solid']))
    return ' '.join([*words, _pick(rng, SHAPES[item.shape])])


def _relation(main: ObjectSpec, other: ObjectSpec, rng: np.random.RandomState) -> str:
    """How ``main`` lies relative to ``other``, or just 'and'."""
    dx, dy = main.centre[0] - other.centre[0], main.centre[1] - other.centre[1]
    loose = ('and', 'with', 'next to', 'near', 'beside')
    if rng.rand() < 0.5 or abs(abs(dx) - abs(dy)) < 0.1:
        return loose[rng.randint(len(loose))]
    if abs(dx) > abs(dy):
        return 'left of' if dx < 0 else 'right of'
    return ('above', 'over')[rng.randint(2)] if dy < 0 else ('below', 'under')[rng.randint(2)]
