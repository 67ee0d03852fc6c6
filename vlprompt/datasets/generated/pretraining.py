"""Captioned scenes for pretraining: objects with parts, places and people, and phrases for the regions of an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vlprompt.datasets.generated.cameras import camera
from vlprompt.datasets.generated.captions import (
    Attribute,
    Caption,
    Wording,
    article,
    attributes,
    captions,
    describe,
    in_style,
    name_place,
    pick,
    shows_colours,
)
from vlprompt.datasets.generated.people import (
    describe_person,
    name_lower,
    name_upper,
    person_attributes,
    sample_person,
)
from vlprompt.datasets.generated.reid import OVERSAMPLING, draw_walkers
from vlprompt.datasets.generated.render import Scene, SceneObject, render
from vlprompt.datasets.generated.spec import SceneSpec, sample_spec
from vlprompt.datasets.generated.vocabulary import COLOURS, COMMON_STYLES, PARTS, RARE_STYLES, STYLES

HELD_OUT = (
    ('red', 'house'),
    ('blue', 'house'),
    ('green', 'boat'),
    ('yellow', 'boat'),
    ('red', 'mushroom'),
    ('blue', 'mushroom'),
    ('green', 'cup'),
    ('yellow', 'cup'),
    ('red', 'fish'),
    ('blue', 'fish'),
    ('green', 'butterfly'),
    ('yellow', 'butterfly'),
    ('red', 'tree'),
    ('blue', 'tree'),
    ('green', 'flower'),
    ('yellow', 'flower'),
)
"""Colours of parts, of another colour than the rest of the object, that no image and no caption of the pretraining
shows, such as red roofs on houses that are not red: names for open vocabulary, made of known words."""

PEOPLE = 0.12
"""Share of the scenes that show people."""

WORDING = Wording(colour=0.5, fill=0.8, part=0.7, place=0.4)
CAMERAS = 8
"""Number of cameras that people are seen by."""


@dataclass(frozen=True)
class Region:
    """A part of an image that has a name.

    Attributes:
        phrase: its name.
        truth: all attributes that it has.
        mask: (H, W) bool.
    """

    phrase: Caption
    truth: frozenset[Attribute]
    mask: np.ndarray


@dataclass(frozen=True)
class Example:
    """An image for pretraining.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        captions: of the whole image, the fullest first, and of single objects.
        regions: objects, parts that have a colour of their own, the place; or people and their clothes.
    """

    image: np.ndarray
    captions: list[Caption]
    regions: list[Region]


def pretraining_example(seed: int, index: int, size: int = 160, rare_share: float = 0.06) -> Example:
    """Example ``index`` of the world ``seed``; a pure function of its arguments.

    Args:
        seed: of the world.
        index: of the example.
        size: side of the image in pixels.
        rare_share: share of scenes in rare styles.
    """
    rng = np.random.RandomState([seed, index, 31])
    if rng.rand() < PEOPLE:
        return _people(rng, seed, size)
    spec = sample_spec(
        rng,
        size=size,
        styles=style_weights(rare_share),
        counts=(0.35, 0.3, 0.2, 0.15),
        radius=(0.11, 0.4),
        parts=0.6,
        avoid=HELD_OUT,
    )
    return _objects(render(spec), rng)


def style_weights(rare_share: float) -> dict[str, float]:
    """Weight of every style; all rare ones together have ``rare_share``."""
    weights = dict.fromkeys(COMMON_STYLES, (1 - rare_share) / len(COMMON_STYLES))
    return weights | dict.fromkeys(RARE_STYLES, rare_share / len(RARE_STYLES))


def _objects(scene: Scene, rng: np.random.RandomState) -> Example:
    spec = scene.spec
    lines = captions(spec, rng, 3, WORDING)
    regions = []
    for item in scene.objects:
        phrase = describe(item.spec, spec, rng, WORDING)
        lines.append(in_style(phrase, spec, rng))
        regions.append(Region(phrase, attributes(item.spec), item.mask))
    regions += [part for item in scene.objects if (part := _part(item, spec, rng)) is not None]
    if (place := name_place(spec, rng)) is not None:
        covered = np.any([item.mask for item in scene.objects], axis=0)
        regions.append(Region(place, place.claims[0], ~covered))
    return Example(scene.image, lines, regions)


def _part(item: SceneObject, spec: SceneSpec, rng: np.random.RandomState) -> Region | None:
    """The part of an object that has a colour of its own, in scenes that show colours."""
    colour, shape = item.spec.part_colour, item.spec.shape
    if colour is None or not shows_colours(spec) or not item.part.any():
        return None
    truth = frozenset({('part of', shape), ('part', colour)})
    return Region(Caption(f'{pick(rng, COLOURS[colour])} {pick(rng, PARTS[shape])}', (truth,)), truth, item.part)


def _people(rng: np.random.RandomState, seed: int, size: int) -> Example:
    people = [sample_person(rng) for _ in range(1 + (rng.rand() < 0.35))]
    place = camera(seed, int(rng.randint(CAMERAS)), OVERSAMPLING * size)
    image, masks = draw_walkers(people, place, rng, size)
    templates = [template for template in STYLES['photo'] if '{bare}' not in template]

    def line(phrases: list[Caption]) -> Caption:
        text = ' and '.join(article(phrase.text) for phrase in phrases)
        claims = tuple(claim for phrase in phrases for claim in phrase.claims)
        return Caption(templates[rng.randint(len(templates))].format(text), claims)

    lines = [line([describe_person(person, rng, full) for person in people]) for full in (True, False, False)]
    lines += [line([describe_person(person, rng)]) for person in people]
    regions = []
    for person, mask in zip(people, masks, strict=True):
        truth = person_attributes(person)
        phrases = describe_person(person, rng), name_upper(person, rng), name_lower(person, rng)
        spans = (0.0, 1.0), (0.22, 0.48), (0.56, 0.85 if person.legwear == 'trousers' else 0.7)
        regions += [Region(phrase, truth, _rows(mask, *span)) for phrase, span in zip(phrases, spans, strict=True)]
    return Example(image, lines, regions)


def _rows(mask: np.ndarray, top: float, bottom: float) -> np.ndarray:
    """The mask between two heights of a figure, as shares of its extent from its top."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return mask
    first, extent = rows[0], rows[-1] + 1 - rows[0]
    part = np.zeros_like(mask)
    span = slice(int(first + top * extent), int(np.ceil(first + bottom * extent)))
    part[span] = mask[span]
    return part
