"""Files of draws: which images of a dataset are the shots, so that two toolboxes can be given the same ones.

The form is that of the 165 splits that the authors of 2SFS published, one JSON object a line::

    {"_impath": "dtd/images/banded/banded_0002.jpg", "_label": 0, "_domain": -1, "_classname": "banded"}

with labels of the full list of classes and paths relative to the folder of all datasets.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from vlprompt.datasets.classification.items import Item
from vlprompt.datasets.reader import Reader
from vlprompt.errors import DataError
from vlprompt.files import read_lines

SUFFIX = '.jsonl'
"""Of the name of a file of draws."""


def read_draw(file: str | Path, reader: Reader, split: str, shots: int | None = None) -> list[Item]:
    """The items of a file of draws, in its order.

    Args:
        file: the file.
        reader: of the dataset; its items say what an image and its label are.
        split: that the images belong to, ``'train'`` or ``'val'``.
        shots: images per class, fewer where the split has fewer; None: any number.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: a line that is no object with path, label and class name, an image that is not in the split (it may
            be a test image), another label or class name than the dataset has, or other numbers than ``shots``.
    """
    items = _by_path(reader, reader.read(split))
    drawn = []
    for place, line in read_lines(file, 'file of draws'):
        name, label, class_name = _entry(line, place)
        candidates = _candidates(name, reader.image_root)
        found = next((items[path] for path in candidates if path in items), None)
        if found is None:
            others = (other for other in reader.splits if other != split)
            other = next((o for o in others if _by_path(reader, reader.read(o)).keys() & set(candidates)), None)
            what = f'is an image of the split {other!r}' if other else 'is no image of this dataset'
            raise DataError(f'{place}: {name} {what}, not of {split!r} of {reader.source}')
        if (found.label, _plain(found.name)) != (label, _plain(class_name)):
            raise DataError(
                f'{place}: {name} has label {label} ({class_name!r}), but in {reader.source} it is {found.label} '
                f'({found.name!r})'
            )
        drawn.append(found)
    if shots is not None:
        _check_shots(drawn, list(items.values()), split, shots, str(file))
    return drawn


def _check_shots(drawn: Sequence[Item], items: Sequence[Item], split: str, shots: int, file: str) -> None:
    """Raise unless every class has as many images as asked for, or as the split has of it; fewer for validation."""
    counts, available = Counter(item.name for item in drawn), Counter(item.name for item in items)
    for name, number in available.items():
        few = counts[name] < min(shots, number) and split == 'train'
        if few or counts[name] > shots:
            raise DataError(
                f'{file}: {counts[name]} images of class {name!r}, but shots={shots} and the dataset has {number}: set '
                'shots to that of the file'
            )


def _entry(line: str, place: str) -> tuple[str, int, str]:
    try:
        content = json.loads(line)
        name, label, class_name = content['_impath'], content['_label'], content['_classname']
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f'{place}: no JSON object with _impath, _label and _classname: {line[:60]!r}') from error
    if not isinstance(name, str) or not isinstance(class_name, str) or type(label) is not int:
        raise DataError(f'{place}: _impath and _classname must be texts and _label a whole number: {line[:60]!r}')
    return name, label, class_name


def _by_path(reader: Reader, items: Sequence[Item]) -> dict[Path, Item]:
    root = reader.image_root.absolute()
    return {root / item.path: item for item in items}


def _candidates(name: str, image_root: Path) -> list[Path]:
    """Places that a path may mean: as given, or below the folder of the images or one that it lies in."""
    root = image_root.absolute()
    return [folder / name for folder in (root, *root.parents)]


def _plain(name: str) -> str:
    return name.replace('_', ' ').strip().lower()
