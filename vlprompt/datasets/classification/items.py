"""The items of a classification dataset, and their checks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from vlprompt.datasets.reader import check_paths
from vlprompt.messages import enumerate_names

SPLITS = ('train', 'val', 'test')


class Item(NamedTuple):
    """One image: its path, its label (0..C-1), and the name of its class."""

    path: str
    label: int
    name: str


def names_by_label(items: Sequence[Item], source: str) -> list[str]:
    """The class names in label order.

    Args:
        items: all items that define the classes.
        source: their file or folder, for messages.

    Raises:
        ValueError: a label with two names, or labels that are not 0..C-1.
    """
    names: dict[int, str] = {}
    for item in items:
        known = names.setdefault(item.label, item.name)
        if known != item.name:
            raise ValueError(
                f'{source}: label {item.label} is called {known!r} and, at {item.path!r}, {item.name!r}; '
                'one label has one class name'
            )
    if not names:
        raise ValueError(f'{source}: no entry, so no class')
    if min(names) < 0:
        raise ValueError(f'{source}: label {min(names)} ({names[min(names)]!r}) is negative; labels are 0..C-1')
    missing = list(islice((label for label in range(max(names)) if label not in names), 5))  # the labels may be huge
    if missing:
        more = max(names) + 1 - len(names) - len(missing)
        raise ValueError(
            f'{source}: labels run up to {max(names)} but {", ".join(map(str, missing))}'
            f'{f" and {more} more" if more else ""} never occur; number the classes 0..C-1 without gaps'
        )
    return [names[label] for label in range(len(names))]


def check_split(items: Sequence[Item], classes: Sequence[str], split: str, source: str) -> None:
    """Check one split against the classes.

    Raises:
        ValueError: the split is empty, lists an image twice, has a label or a class name that is not among
            ``classes``, or (``split='train'``) lacks images of a class.
    """
    check_paths(items, split, source)
    for item in items:
        if not 0 <= item.label < len(classes) or classes[item.label] != item.name:
            raise ValueError(
                f'{source}: split {split!r}, {item.path!r}: label {item.label} ({item.name!r}) is not one of the '
                f'{len(classes)} classes of the training split'
            )
    if split == 'train':
        counts = Counter(item.label for item in items)
        empty = [name for label, name in enumerate(classes) if not counts[label]]
        if empty:
            raise ValueError(f'{source}: split {split!r} has no image of class {enumerate_names(map(repr, empty), 5)}')
