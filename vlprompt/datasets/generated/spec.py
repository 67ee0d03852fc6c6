"""Specifications of scenes, before any pixel is drawn, and their sampling."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vlprompt.datasets.generated.vocabulary import (
    BACKGROUNDS,
    CAMOUFLAGE,
    COLOURS,
    COMMON_STYLES,
    CONDITIONS,
    FILLS,
    PARTS,
    RARE_STYLES,
    SHAPES,
    STYLES,
)

# Colours of the second tone of a patterned fill, chosen for contrast with the first.
SECOND_TONES = {
    'white': ('black', 'blue', 'red'),
    'yellow': ('black', 'blue', 'brown'),
    'pink': ('white', 'purple', 'black'),
    'black': ('white', 'yellow', 'orange'),
}
DEFAULT_SECOND_TONES = ('white', 'white', 'yellow', 'black')


@dataclass(frozen=True)
class ObjectSpec:
    """One object. Lengths are fractions of the image's side, angles are degrees, clockwise.

    Args:
        shape: key of ``vocabulary.SHAPES``.
        colour: key of ``vocabulary.COLOURS``.
        fill: key of ``vocabulary.FILLS``.
        second: colour of the pattern's second tone (equal to ``colour`` for solid objects).
        centre: (x, y) in [0, 1].
        radius: half the extent of the object.
        angle: rotation about the centre.
        part_colour: colour of the shape's part in ``vocabulary.PARTS``; None: that of the rest.
    """

    shape: str
    colour: str
    fill: str
    second: str
    centre: tuple[float, float]
    radius: float
    angle: float
    part_colour: str | None = None


@dataclass(frozen=True)
class SceneSpec:
    """A scene: objects from back to front on a background, drawn in a style.

    ``seed`` fixes every remaining random detail (noise, bricks, wobbling lines, caption wording), so that rendering is
    a pure function of the spec.
    """

    size: int
    style: str
    background: str
    condition: str
    objects: tuple[ObjectSpec, ...]
    seed: int

    @property
    def main(self) -> ObjectSpec:
        """The largest object, the subject of short captions."""
        return max(self.objects, key=lambda item: item.radius)


def sample_spec(
    rng: np.random.RandomState,
    size: int = 128,
    styles: Sequence[str] | Mapping[str, float] = COMMON_STYLES,
    counts: Sequence[float] = (0.5, 0.28, 0.14, 0.08),
    shapes: Sequence[str] = tuple(SHAPES),
    colours: Sequence[str] = tuple(COLOURS),
    fills: Sequence[str] | Mapping[str, float] = tuple(FILLS),
    backgrounds: Sequence[str] = tuple(BACKGROUNDS),
    radius: tuple[float, float] = (0.10, 0.40),
    max_overlap: float = 0.15,
    parts: float = 0.0,
    avoid: Collection[tuple[str, str]] = (),
) -> SceneSpec:
    """Draw a scene.

    Args:
        rng: the only source of randomness.
        size: side of the square image in pixels.
        styles: names drawn uniformly, or name -> weight.
        counts: probability of 1, 2, 3, ... objects.
        shapes: names drawn uniformly.
        colours: names drawn uniformly, except those that vanish against the background.
        fills: names drawn uniformly, or name -> weight.
        backgrounds: names drawn uniformly.
        radius: smallest and largest radius of an object as a fraction of the side; scenes with n objects use at most
            ``1 / sqrt(n)`` of the largest one (but never less than the smallest).
        max_overlap: how far two objects may reach into each other, as a fraction of the sum of their radii.
        parts: probability that a part of an object, where its shape has one, has another colour than the rest.
        avoid: pairs (colour of a part, shape) that no object has.

    Raises:
        ValueError: a name that is not in the vocabulary.
    """
    for given, known, what in (
        (styles, STYLES, 'style'),
        (shapes, SHAPES, 'shape'),
        (colours, COLOURS, 'colour'),
        (fills, FILLS, 'fill'),
        (backgrounds, BACKGROUNDS, 'background'),
    ):
        for name in given:
            if name not in known:
                raise ValueError(f'unknown {what} {name!r}; the built-in world knows {sorted(known)}')

    style = _choose(rng, styles)
    background = _choose(rng, backgrounds)
    condition = _choose(rng, tuple(CONDITIONS)) if style == 'photo' and rng.rand() < 0.3 else 'normal'
    count = 1 + int(rng.choice(len(counts), p=np.asarray(counts) / np.sum(counts)))
    visible = [name for name in colours if name not in CAMOUFLAGE.get(background, ())] or list(colours)
    objects = []
    for centre, extent in _place(rng, count, radius, max_overlap):
        colour, fill, shape = _choose(rng, visible), _choose(rng, fills), _choose(rng, shapes)
        second = colour if fill == 'solid' else _choose(rng, SECOND_TONES.get(colour, DEFAULT_SECOND_TONES))
        angle, part = float(rng.uniform(-20, 20)), None
        if parts and shape in PARTS and rng.rand() < parts:
            others = [name for name in COLOURS if name not in (colour, second) and (name, shape) not in avoid]
            part = _choose(rng, others)
        objects.append(ObjectSpec(shape, colour, fill, second, centre, extent, angle, part))
    return SceneSpec(size, style, background, condition, tuple(objects), int(rng.randint(2**31)))


def pretraining_options(rare_share: float = 0.06) -> dict:
    """Options of ``sample_spec`` for the captioned scenes that the micro models learn from.

    Mostly single objects, so that a caption describes what fills the picture; all rare styles together make up
    ``rare_share`` of the scenes.
    """
    styles = dict.fromkeys(COMMON_STYLES, (1 - rare_share) / len(COMMON_STYLES))
    styles |= dict.fromkeys(RARE_STYLES, rare_share / len(RARE_STYLES))
    return dict(styles=styles, counts=(0.8, 0.12, 0.05, 0.03))


def _choose(rng: np.random.RandomState, names: Sequence[str] | Mapping[str, float]) -> str:
    if isinstance(names, Mapping):
        weights = np.asarray(list(names.values()), dtype=np.float64)
        return list(names)[rng.choice(len(weights), p=weights / weights.sum())]
    return names[rng.randint(len(names))]


def _place(
    rng: np.random.RandomState, count: int, radius: tuple[float, float], max_overlap: float, tries: int = 20
) -> list[tuple[tuple[float, float], float]]:
    """``count`` pairs of centre and radius, inside the image and apart from each other.

    A radius for which no place is found in ``tries`` draws shrinks by a fifth, so the search always ends.
    """
    low, high = radius
    placed: list[tuple[tuple[float, float], float]] = []
    for _ in range(count):
        extent = float(rng.uniform(max(low, 0.55 * high / count**0.5), max(low, high / count**0.5)))
        while True:
            found = None
            for _ in range(tries):
                centre = (float(rng.uniform(extent, 1 - extent)), float(rng.uniform(extent, 1 - extent)))
                gaps = (
                    np.hypot(centre[0] - other[0], centre[1] - other[1]) - (1 - max_overlap) * (extent + size)
                    for other, size in placed
                )
                if all(gap >= 0 for gap in gaps):
                    found = centre
                    break
            if found is not None:
                placed.append((found, extent))
                break
            extent *= 0.8
    return placed
