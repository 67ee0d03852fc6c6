"""Lists whose labels are numbers, the form of published long-tailed benchmarks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from vlprompt.datasets.classification.items import Item
from vlprompt.datasets.classification.readers.text_list import ListReader, Row
from vlprompt.files import read_bytes, whole_number
from vlprompt.messages import enumerate_names


class NumberedListReader(ListReader):
    """Reads lines ``path label`` with labels 0..C-1, naming classes that have no names yet.

    Without ``classes``, a class is named after the folder of its training images, ``train/<class name>/<image>``, if
    every class has one folder of its own; otherwise by its label as text.  A number is always a label, whatever the
    names: label 0 may be in a folder called 1.  If labels are words, all must be, and they are the names, as in
    :class:`~vlprompt.datasets.classification.readers.text_list.ListReader`.

    Args:
        source: the file; may contain ``{split}``.
        image_root: the folder that paths are relative to.
        classes: the class names in label order.
        only_split: the split of a list without split column and ``{split}``.
        folder_names: folder -> class name, such as WordNet ids -> words; every folder must be in it.
        hint: where to get the list.
        md5: split -> md5 sum of its published list, if known.
    """

    def __init__(
        self,
        source: Path,
        image_root: Path,
        classes: list[str] | None = None,
        only_split: str = 'train',
        folder_names: Mapping[str, str] | None = None,
        hint: str = '',
        md5: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(source, image_root, classes, only_split)
        self.md5 = md5
        self.folder_names = folder_names
        self.hint = hint or self.hint

    def altered_files(self) -> list[str]:
        problems = []
        for split, published in self.md5.items():
            file = self._file(split)
            found = hashlib.md5(read_bytes(file), usedforsecurity=False).hexdigest() if file.exists() else published
            if found != published:
                problems.append(f'{file}: not the published list (md5 {found}, published {published}); get it again')
        return problems

    @cached_property
    def takes_numbers(self) -> bool:
        return self.given is not None or all(row.label.isdecimal() for row in self._of_split('train'))

    def load_classes(self) -> list[str]:
        if self.given is not None or 'train' not in self.splits:
            return super().load_classes()
        rows = self._of_split('train')
        word = next((row for row in rows if not row.label.isdecimal()), None)
        if word is not None:
            return self._words(rows, word)
        folders = _folders_by_label(rows)
        labels = range(max(folders, default=-1) + 1)
        gaps = list(islice((label for label in labels if label not in folders), 5))
        if not folders or gaps:
            what = (
                f'labels run up to {labels[-1]} but {enumerate_names(gaps)} never occur'
                if folders
                else 'no entry, so no class'
            )
            raise ValueError(f'{self._file("train")}: {what}; number the classes of the training images 0..C-1')
        if self.folder_names is not None:
            return [self._translate(label, folders[label]) for label in labels]
        named = [found[0] for found in folders.values() if len(found) == 1 and found[0]]
        if len(set(named)) < len(folders):  # a class in several folders, or a folder of several classes
            return [str(label) for label in labels]
        return [folders[label][0] for label in labels]

    def _words(self, rows: list[Row], word: Row) -> list[str]:
        number = next((row for row in rows if row.label.isdecimal()), None)
        if number is not None:
            raise ValueError(
                f'{word.place}: label {word.label!r} is no number 0..C-1, but that of {number.place} is; '
                'either all labels are numbers or all are names'
            )
        return super().load_classes()

    def _item(self, row: Row, labels: dict[str, int]) -> Item:
        return self._numbered(row) or super()._item(row, labels)

    def _translate(self, label: int, folders: list[str]) -> str:
        file = self._file('train')
        if len(folders) != 1:
            raise ValueError(
                f'{file}: label {label} lies in the folders {enumerate_names(map(repr, folders), 5)}; it must be one'
            )
        if folders[0] not in self.folder_names:
            raise ValueError(f'{file}: label {label} lies in folder {folders[0]!r}, which is no known class')
        return self.folder_names[folders[0]]


def _folders_by_label(rows: list[Row]) -> dict[int, list[str]]:
    """The distinct folders of the images of a label."""
    folders: dict[int, dict[str, None]] = {}
    for row in rows:
        folders.setdefault(whole_number(row.label, row.place), {})[PurePosixPath(row.path).parent.name] = None
    return {label: list(found) for label, found in folders.items()}
