"""People of the re-identification task: build and clothes, the same in all images of a person."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vlprompt.datasets.generated.spec import DEFAULT_SECOND_TONES, SECOND_TONES
from vlprompt.datasets.generated.vocabulary import RGB

GARMENT_COLOURS = ('red', 'yellow', 'green', 'teal', 'blue', 'purple', 'pink', 'brown', 'white', 'black', 'grey')
TROUSER_COLOURS = ('blue', 'black', 'grey', 'brown', 'white', 'green')
HAIR_COLOURS = ('black', 'brown', 'blond', 'grey')
SKIN = ((236, 200, 176), (214, 166, 132), (168, 118, 84), (112, 76, 54))
SHADES = RGB | dict(grey=(128, 130, 134), blond=(214, 182, 112))
PRINTS = ('star', 'heart', 'circle', 'triangle', 'cross', 'diamond')


@dataclass(frozen=True)
class Person:
    """Attributes by which a person can be recognised. Colours are RGB in [0, 1].

    Attributes:
        height: relative to others, around 1.
        girth: relative to others, around 1.
        skin: colour.
        hair: colour.
        haircut: 'short', 'long', 'bun' or 'none'.
        hat: 'none', 'cap' or 'beanie', with ``hat_colour``.
        upper: colours of the upper garment, the second for its ``fill`` (key of ``vocabulary.FILLS``).
        fill: pattern of the upper garment.
        sleeves: 'long' or 'short'.
        open_jacket: whether it is open over a shirt, which has the second colour.
        emblem: shape printed on the chest (seen from the front only) or 'none'.
        lower: colour of the legwear.
        legwear: 'trousers', 'shorts' or 'skirt'.
        shoes: colour.
        bag: 'none', 'backpack', 'shoulder bag' or 'handbag', with ``bag_colour``.
    """

    height: float
    girth: float
    skin: np.ndarray
    hair: np.ndarray
    haircut: str
    hat: str
    hat_colour: np.ndarray
    upper: tuple[np.ndarray, np.ndarray]
    fill: str
    sleeves: str
    open_jacket: bool
    emblem: str
    lower: np.ndarray
    legwear: str
    shoes: np.ndarray
    bag: str
    bag_colour: np.ndarray


def sample_person(rng: np.random.RandomState) -> Person:
    """Draw a person. Colours come from few names, so many people share some of them and nobody is unique by one."""
    upper = _choose(rng, GARMENT_COLOURS)
    second = _choose(rng, SECOND_TONES.get(upper, DEFAULT_SECOND_TONES))
    return Person(
        height=float(rng.uniform(0.92, 1.08)),
        girth=float(rng.uniform(0.85, 1.2)),
        skin=np.float32(SKIN[rng.randint(len(SKIN))]) / 255,
        hair=_shade(rng, _choose(rng, HAIR_COLOURS)),
        haircut=_choose(rng, ('short', 'short', 'long', 'long', 'bun', 'none')),
        hat=_choose(rng, ('none', 'none', 'none', 'cap', 'beanie')),
        hat_colour=_shade(rng, _choose(rng, GARMENT_COLOURS)),
        upper=(_shade(rng, upper), _shade(rng, second)),
        fill=_choose(rng, ('solid', 'solid', 'solid', 'striped', 'banded', 'dotted', 'checkered', 'zigzag')),
        sleeves=_choose(rng, ('long', 'long', 'short')),
        open_jacket=bool(rng.rand() < 0.2),
        emblem=_choose(rng, ('none', 'none', 'none', *PRINTS)),
        lower=_shade(rng, _choose(rng, TROUSER_COLOURS)),
        legwear=_choose(rng, ('trousers', 'trousers', 'trousers', 'shorts', 'skirt')),
        shoes=_shade(rng, _choose(rng, ('black', 'white', 'brown', 'red', 'grey'))),
        bag=_choose(rng, ('none', 'none', 'backpack', 'shoulder bag', 'handbag')),
        bag_colour=_shade(rng, _choose(rng, GARMENT_COLOURS)),
    )


def _choose(rng: np.random.RandomState, names: Sequence[str]) -> str:
    return names[rng.randint(len(names))]


def _shade(rng: np.random.RandomState, name: str) -> np.ndarray:
    """A colour near the one of that name."""
    return np.clip(np.float32(SHADES[name]) / 255 + rng.uniform(-0.05, 0.05, 3), 0.03, 0.97).astype(np.float32)
