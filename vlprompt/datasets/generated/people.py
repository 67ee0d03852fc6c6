"""People of the re-identification task: build and clothes, the same in all images of a person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vlprompt.datasets.generated.captions import Attribute, Caption, article, pick
from vlprompt.datasets.generated.spec import DEFAULT_SECOND_TONES, SECOND_TONES
from vlprompt.datasets.generated.vocabulary import COLOURS, FILLS, RGB

GARMENT_COLOURS = ('red', 'yellow', 'green', 'teal', 'blue', 'purple', 'pink', 'brown', 'white', 'black', 'grey')
TROUSER_COLOURS = ('blue', 'black', 'grey', 'brown', 'white', 'green')
HAIR_COLOURS = ('black', 'brown', 'blond', 'grey')
SKIN = ((236, 200, 176), (214, 166, 132), (168, 118, 84), (112, 76, 54))
SHADES = RGB | dict(grey=(128, 130, 134), blond=(214, 182, 112))
LEGWEAR = dict(trousers=('trousers', 'pants', 'jeans'), shorts=('shorts',), skirt=('skirt',))
_FILLS = FILLS | dict(banded=('banded', 'horizontally striped'))
_SHADES = COLOURS | dict(grey=('grey', 'gray'), blond=('blond',))
PERSON = ('person', 'pedestrian')
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
        names: of the colours of 'upper', 'lower', 'hair', 'hat', 'shoes' and 'bag'.
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
    names: Mapping[str, str]


def sample_person(rng: np.random.RandomState) -> Person:
    """Draw a person. Colours come from few names, so many people share some of them and nobody is unique by one."""
    names = dict(upper=_choose(rng, GARMENT_COLOURS))
    second = _choose(rng, SECOND_TONES.get(names['upper'], DEFAULT_SECOND_TONES))

    def shade(what: str, colours: Sequence[str]) -> np.ndarray:
        names[what] = _choose(rng, colours)
        return _shade(rng, names[what])

    return Person(
        height=float(rng.uniform(0.92, 1.08)),
        girth=float(rng.uniform(0.85, 1.2)),
        skin=np.float32(SKIN[rng.randint(len(SKIN))]) / 255,
        hair=shade('hair', HAIR_COLOURS),
        haircut=_choose(rng, ('short', 'short', 'long', 'long', 'bun', 'none')),
        hat=_choose(rng, ('none', 'none', 'none', 'cap', 'beanie')),
        hat_colour=shade('hat', GARMENT_COLOURS),
        upper=(_shade(rng, names['upper']), _shade(rng, second)),
        fill=_choose(rng, ('solid', 'solid', 'solid', 'striped', 'banded', 'dotted', 'checkered', 'zigzag')),
        sleeves=_choose(rng, ('long', 'long', 'short')),
        open_jacket=bool(rng.rand() < 0.2),
        emblem=_choose(rng, ('none', 'none', 'none', *PRINTS)),
        lower=shade('lower', TROUSER_COLOURS),
        legwear=_choose(rng, ('trousers', 'trousers', 'trousers', 'shorts', 'skirt')),
        shoes=shade('shoes', ('black', 'white', 'brown', 'red', 'grey')),
        bag=_choose(rng, ('none', 'none', 'backpack', 'shoulder bag', 'handbag')),
        bag_colour=shade('bag', GARMENT_COLOURS),
        names=names,
    )


def person_attributes(person: Person) -> frozenset[Attribute]:
    """All that captions may say of a person."""
    names = person.names
    found = {
        ('shape', 'person'),
        ('upper', names['upper']),
        ('fill', person.fill),
        ('lower', names['lower']),
        ('legwear', person.legwear),
        ('shoes', names['shoes']),
    }
    if person.haircut != 'none':
        found |= {('hair', names['hair']), ('haircut', person.haircut)}
    for thing, kind in (('hat', person.hat), ('bag', person.bag)):
        if kind != 'none':
            found |= {(thing, kind), (f'{thing} colour', names[thing])}
    return frozenset(found)


def name_upper(person: Person, rng: np.random.RandomState, full: bool = False) -> Caption:
    """The garment on the upper body, without an article; unless ``full``, without its pattern at times."""
    names, claims = [pick(rng, _SHADES[person.names['upper']])], {('upper', person.names['upper'])}
    if person.fill != 'solid' and not person.open_jacket and (full or rng.rand() < 0.6):
        names.append(pick(rng, _FILLS[person.fill]))
        claims.add(('fill', person.fill))
    names.append(pick(rng, ('jacket', 'coat') if person.open_jacket else ('shirt', 'top', 'jumper')))
    return Caption(' '.join(names), (frozenset(claims),))


def name_lower(person: Person, rng: np.random.RandomState) -> Caption:
    """The garment on the legs, without an article."""
    colour = person.names['lower']
    text = f'{pick(rng, _SHADES[colour])} {pick(rng, LEGWEAR[person.legwear])}'
    return Caption(text, (frozenset({('lower', colour), ('legwear', person.legwear)}),))


def describe_person(person: Person, rng: np.random.RandomState, full: bool = False) -> Caption:
    """A noun phrase without an article: hair, clothes and bag, some of them unless ``full``."""
    words, claims = [pick(rng, PERSON)], {('shape', 'person')}

    def mention(chance: float) -> bool:
        return full or rng.rand() < chance

    if person.haircut != 'none' and mention(0.35):
        colour = person.names['hair']
        bun = person.haircut == 'bun'
        words.append(f'with {colour} hair in a bun' if bun else f'with {person.haircut} {colour} hair')
        claims |= {('hair', colour), ('haircut', person.haircut)}
    worn = []
    if mention(0.75):
        upper = name_upper(person, rng, full)
        worn.append(article(upper.text))
        claims |= upper.claims[0]
    if mention(0.65):
        lower = name_lower(person, rng)
        worn.append(article(lower.text) if person.legwear == 'skirt' else lower.text)
        claims |= lower.claims[0]
    if mention(0.25):
        worn.append(f'{person.names["shoes"]} shoes')
        claims.add(('shoes', person.names['shoes']))
    if person.hat != 'none' and mention(0.5):
        colour = person.names['hat']
        worn.append(article(f'{pick(rng, _SHADES[colour])} {person.hat}'))
        claims |= {('hat', person.hat), ('hat colour', colour)}
    if worn:
        words.append(f'{pick(rng, ("wearing", "in"))} {enumerate_words(worn)}')
    if person.bag != 'none' and mention(0.6):
        colour = person.names['bag']
        words.append(f'{pick(rng, ("carrying", "with"))} {article(f"{pick(rng, _SHADES[colour])} {person.bag}")}')
        claims |= {('bag', person.bag), ('bag colour', colour)}
    return Caption(' '.join(words), (frozenset(claims),))


def enumerate_words(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return ' and '.join([', '.join(words[:-1])] * (len(words) > 1) + [words[-1]])


def _choose(rng: np.random.RandomState, names: Sequence[str]) -> str:
    return names[rng.randint(len(names))]


def _shade(rng: np.random.RandomState, name: str) -> np.ndarray:
    """A colour near the one of that name."""
    return np.clip(np.float32(SHADES[name]) / 255 + rng.uniform(-0.05, 0.05, 3), 0.03, 0.97).astype(np.float32)
