"""Names of classes: what a scene must show, in known words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from vlprompt.datasets.generated.captions import article
from vlprompt.datasets.generated.spec import ObjectSpec
from vlprompt.datasets.generated.vocabulary import BACKGROUNDS, COLOURS, FILLS, PARTS, SHAPES

_NAME = re.compile(
    r'(?P<object>.+?)( with an? (?P<colour>\w+) (?P<part>\w+))?( (on|in|in front of) (?P<place>an? .+|the .+|\w+))?'
)
_PLACES = {words[0]: place for place, words in BACKGROUNDS.items()}


@dataclass(frozen=True)
class ClassName:
    """What the name of a class says, None for what it leaves open.

    Attributes:
        colour, fill, shape: of the object.
        part_colour: of the part of the shape that has a colour of its own.
        place: what is behind the objects.
    """

    colour: str | None = None
    fill: str | None = None
    shape: str | None = None
    part_colour: str | None = None
    place: str | None = None

    def __str__(self) -> str:
        words = ' '.join(word for word in (self.colour, self.fill, self.shape) if word)
        if self.part_colour:
            words += f' with {article(self.part_colour)} {PARTS[self.shape][0]}'
        if self.place:
            words += f' {link_of(self.place)} {BACKGROUNDS[self.place][0]}'
        return words

    def fits(self, item: ObjectSpec, background: str) -> bool:
        """Whether all that it says is true of an object in a scene with that background."""
        said = (self.colour, self.fill, self.shape, self.part_colour, self.place)
        true = (item.colour, item.fill, item.shape, item.part_colour, background)
        return all(name is None or name == fact for name, fact in zip(said, true, strict=True))


def class_of(item: ObjectSpec, background: str, classes: Sequence[str]) -> int | None:
    """Position of the first class whose name is true of an object, None if there is none."""
    found = (label for label, name in enumerate(classes) if parse_name(name).fits(item, background))
    return next(found, None)


def link_of(place: str) -> str:
    """The preposition that class names have before a place."""
    if BACKGROUNDS[place][0].endswith('sky'):
        return 'in'
    return 'in front of' if place in ('plain', 'gradient', 'brick') else 'on'


@cache
def parse_name(name: str) -> ClassName:
    """Such as 'striped star', 'red dotted', 'heart', 'house with a white roof on grass'.

    Raises:
        ValueError: ``name`` is not made of known words in this order.
    """
    found = _NAME.fullmatch(name)
    words = found['object'].split() if found else []
    head = []
    for known in (COLOURS, FILLS, SHAPES):
        head.append(words.pop(0) if words and words[0] in known else None)
    shape = head[2]
    if not found or words or not any(head):
        raise _unknown(name)
    if found['part'] and (found['colour'] not in COLOURS or found['part'] != PARTS.get(shape, (None,))[0]):
        raise _unknown(name)
    if found['place'] and found['place'] not in _PLACES:
        raise _unknown(name)
    return ClassName(*head, found['colour'], _PLACES[found['place']] if found['place'] else None)


def _unknown(name: str) -> ValueError:
    return ValueError(
        f'{name!r} is no class of the built-in world: give "[colour] [fill] [shape] [with a <colour> <part>] '
        f'[on|in <place>]" in the first of the words for each, see vlprompt/datasets/generated/vocabulary.py'
    )
