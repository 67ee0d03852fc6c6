"""Captions of a scene, as a person might write them."""

from dataclasses import dataclass

import numpy as np

from vlprompt.datasets.generated.spec import ObjectSpec, SceneSpec
from vlprompt.datasets.generated.vocabulary import (
    BACKDROP_STYLES,
    BACKGROUNDS,
    COLOURLESS_STYLES,
    COLOURS,
    CONDITIONS,
    FILLS,
    PARTS,
    SHAPES,
    STYLES,
)

SIZES = {'small': ('small', 'tiny', 'little'), 'large': ('large', 'big', 'huge')}


@dataclass(frozen=True)
class Wording:
    """How often captions mention what they need not mention, as probabilities.

    Attributes:
        colour, fill: of an object.
        part: that a part of the object has another colour.
        place: what is behind the objects.
    """

    colour: float = 0.2
    fill: float = 0.8
    part: float = 0.7
    place: float = 0.15


Attribute = tuple[str, str]
"""A kind (shape, colour, fill, part, place) and a canonical name of it."""


@dataclass(frozen=True)
class Caption:
    """A description, and what has to be true of an image for it to be right.

    Attributes:
        text: the words.
        claims: attributes of each thing that it mentions.
    """

    text: str
    claims: tuple[frozenset[Attribute], ...]


DEFAULT_WORDING = Wording()


def captions(
    spec: SceneSpec, rng: np.random.RandomState, count: int = 4, wording: Wording = DEFAULT_WORDING
) -> list[Caption]:
    """``count`` descriptions of a scene: the first names every object, the others only some of them.

    Wording, synonyms and which attributes are mentioned are drawn from ``rng``. Captions are always true:
    colours and backgrounds are not mentioned in styles that do not show them.
    """
    return [_caption(spec, rng, wording, full=index == 0) for index in range(count)]


def attributes(item: ObjectSpec) -> frozenset[Attribute]:
    """All that is true of an object."""
    part = {('part', item.part_colour)} if item.part_colour else set()
    return frozenset({('shape', item.shape), ('colour', item.colour), ('fill', item.fill)} | part)


def describe(item: ObjectSpec, spec: SceneSpec, rng: np.random.RandomState, wording: Wording) -> Caption:
    """A noun phrase without an article for one object of a scene."""
    return _describe(item, rng, wording, shows_colours(spec), full=False)


def in_style(phrase: Caption, spec: SceneSpec, rng: np.random.RandomState) -> Caption:
    """A noun phrase in one of the templates of a scene's style."""
    template = STYLES[spec.style][rng.randint(len(STYLES[spec.style]))]
    words = dict(bare=phrase.text) if '{bare}' in template else {}
    return Caption(template.format(article(phrase.text), **words), phrase.claims)


def name_place(spec: SceneSpec, rng: np.random.RandomState) -> Caption | None:
    """A noun phrase for what is behind the objects, None in styles that do not show it."""
    if spec.style in BACKDROP_STYLES:
        return None
    return Caption(pick(rng, BACKGROUNDS[spec.background]), (frozenset({('place', spec.background)}),))


def noun(item: ObjectSpec, colour: bool = True) -> str:
    """Canonical name without an article, e.g. 'red striped star'."""
    words = ([item.colour] if colour else []) + ([] if item.fill == 'solid' else [item.fill]) + [item.shape]
    return ' '.join(words)


def article(phrase: str) -> str:
    """The phrase with 'a' or 'an' in front."""
    return f'{"an" if phrase[0] in "aeiou" else "a"} {phrase}'


def pick(rng: np.random.RandomState, words: tuple[str, ...]) -> str:
    """The canonical word half of the time, otherwise any of them."""
    return words[0] if len(words) == 1 or rng.rand() < 0.5 else words[rng.randint(len(words))]


def shows_colours(spec: SceneSpec) -> bool:
    """Whether a scene shows the colours of its objects."""
    return spec.style not in COLOURLESS_STYLES and spec.condition != 'grey'


def _caption(spec: SceneSpec, rng: np.random.RandomState, wording: Wording, full: bool) -> Caption:
    coloured = shows_colours(spec)
    templates = CONDITIONS[spec.condition]
    if not templates or rng.rand() < 0.3:
        templates = STYLES[spec.style]
    template = templates[rng.randint(len(templates))]
    main = _describe(spec.main, rng, wording, coloured, full)
    if '{bare}' in template:
        return Caption(template.format(bare=main.text), main.claims)

    phrase, claims = article(main.text), [*main.claims]
    others = [item for item in spec.objects if item is not spec.main]
    if not full:
        others = others[: rng.randint(len(others) + 1)]
    for position, item in enumerate(others):
        link = _relation(spec.main, item, rng) if position == 0 else 'and'
        other = _describe(item, rng, wording, coloured, full)
        phrase += f' {link} {article(other.text)}'
        claims += other.claims
    if spec.style not in BACKDROP_STYLES and rng.rand() < wording.place:
        place = BACKGROUNDS[spec.background]
        link = ('in front of', 'on')[rng.randint(2)] if not place[0].endswith('sky') else 'in'
        phrase += f' {link} {pick(rng, place)}'
        claims.append(frozenset({('place', spec.background)}))
    return Caption(template.format(phrase), tuple(claims))


def _describe(item: ObjectSpec, rng: np.random.RandomState, wording: Wording, coloured: bool, full: bool) -> Caption:
    """Size, colour, fill, shape and part; unless ``full``, each attribute is left out at times."""
    words, claims = [], {('shape', item.shape)}
    if rng.rand() < 0.25:
        if item.radius < 0.16:
            words.append(pick(rng, SIZES['small']))
        elif item.radius > 0.3:
            words.append(pick(rng, SIZES['large']))
    if coloured and (full or rng.rand() < wording.colour):
        words.append(pick(rng, COLOURS[item.colour]))
        claims.add(('colour', item.colour))
    if item.fill != 'solid' and (full or rng.rand() < wording.fill):
        words.append(pick(rng, FILLS[item.fill]))
        claims.add(('fill', item.fill))
    elif item.fill == 'solid' and rng.rand() < 0.15:
        words.append(pick(rng, FILLS['solid']))
        claims.add(('fill', 'solid'))
    text = ' '.join([*words, pick(rng, SHAPES[item.shape])])
    if coloured and item.part_colour is not None and (full or rng.rand() < wording.part):
        text += f' with {article(pick(rng, COLOURS[item.part_colour]))} {pick(rng, PARTS[item.shape])}'
        claims.add(('part', item.part_colour))
    return Caption(text, (frozenset(claims),))


def _relation(main: ObjectSpec, other: ObjectSpec, rng: np.random.RandomState) -> str:
    """The position of ``main`` relative to ``other``, or just 'and'."""
    dx, dy = main.centre[0] - other.centre[0], main.centre[1] - other.centre[1]
    loose = ('and', 'with', 'next to', 'near', 'beside')
    if rng.rand() < 0.5 or abs(abs(dx) - abs(dy)) < 0.1:
        return loose[rng.randint(len(loose))]
    if abs(dx) > abs(dy):
        return 'left of' if dx < 0 else 'right of'
    return ('above', 'over')[rng.randint(2)] if dy < 0 else ('below', 'under')[rng.randint(2)]
