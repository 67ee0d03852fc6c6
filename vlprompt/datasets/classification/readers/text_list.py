"""Lists of images: CSV files and plain text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import NamedTuple

from vlprompt.datasets.classification.items import SPLITS, Item
from vlprompt.datasets.classification.readers.base import SplitReader, index_of
from vlprompt.datasets.images import IMAGE_SUFFIXES
from vlprompt.files import WHOLE_NUMBERS, is_odd_number, read_lines, read_table, split_fields, whole_number
from vlprompt.messages import enumerate_names

ONE_LIST = (
    '{list} has no column split, so each dataset that reads it takes all of its images: add the column, with train, '
    "val or test in each row, or give every split a list of its own, ann_file='{{split}}{suffix}'"
)
"""Why a list is no training and test set at once, and what to do."""


class Row(NamedTuple):
    """One line: ``'<file>:<line number>'``, and its fields as text."""

    place: str
    path: str
    label: str
    split: str | None


class ListReader(SplitReader):
    """Reads a CSV file or a text list.

    ``*.csv``: a header line with the columns ``path``, ``label`` and optionally ``split``.
    ``*.txt``: lines ``path label`` (the last word is the label), or ``path,label``, or ``path,label,split``.  In
    the last two forms, fields with commas must be quoted.

    A label is a class name, or a number if ``classes`` is given.  Without a split column there is one file per
    split: ``{split}`` in ``source`` is replaced by its name, as in ``'{split}.txt'``; a name without ``{split}`` is
    the list of ``only_split``.

    Args:
        source: the file; may contain ``{split}``.
        image_root: the folder that paths are relative to.
        classes: the class names in label order.  None: the sorted names of the training split.
        only_split: the split of a list without split column and ``{split}``.
    """

    def __init__(
        self, source: Path, image_root: Path, classes: list[str] | None = None, only_split: str = 'train'
    ) -> None:
        hint = (
            'It is a list with the columns path, label and split (train, val or test), or one of several, named by '
            f"ann_file='{{split}}{source.suffix}', without the last."
        )
        super().__init__(source, image_root, hint)
        self.given = classes
        self.only_split = only_split
        self.per_split = '{split}' in str(source)
        self._cache: dict[Path, list[Row]] = {}

    @property
    def splits(self) -> tuple[str, ...]:
        if self.per_split:
            found = tuple(split for split in SPLITS if self._file(split).exists())
            if not found:
                self.require(self._file(self.only_split))
            return found
        present = {row.split or self.only_split for row in self._rows(self.only_split)}
        return tuple(split for split in SPLITS if split in present)

    @property
    def takes_numbers(self) -> bool:
        """Whether a label may be a position in the class names."""
        return self.given is not None

    def load_classes(self) -> list[str]:
        if self.given is not None:
            return self.given
        if 'train' not in self.splits:
            alone = 'if its images are all of this split, ' if self.is_one_split() else ''
            raise ValueError(
                f'{self.source}: without a training split the classes are unknown. {self.hint_about_splits()} Or, '
                f'{alone}give `classes`, a list or a text file with one name per line'
            )
        rows = self._of_split('train')
        number = next((row for row in rows if row.label.isdecimal()), None)
        if number is not None:
            raise ValueError(
                f'{number.place}: label {number.label!r} is a number; give `classes`, a list or a text '
                'file with one name per line, so that labels have names'
            )
        return sorted({row.label for row in rows})

    def load(self, split: str) -> list[Item]:
        labels = index_of(self.classes)
        return [self._item(row, labels) for row in self._of_split(split)]

    def _item(self, row: Row, labels: dict[str, int]) -> Item:
        if row.label in labels:
            return Item(row.path, labels[row.label], row.label)
        if (item := self._numbered(row)) is not None:
            return item
        numbers = f', nor a number 0..{len(self.classes) - 1}' if self.takes_numbers else ''
        raise ValueError(
            f'{row.place}: label {row.label!r} is not one of the {len(self.classes)} classes '
            f'({enumerate_names(map(repr, self.classes), 5)}){numbers}'
        )

    def _numbered(self, row: Row) -> Item | None:
        """The item of a row whose label is a position in the class names."""
        label = whole_number(row.label, row.place) if self.takes_numbers else None
        return None if label is None or label >= len(self.classes) else Item(row.path, label, self.classes[label])

    def _of_split(self, split: str) -> list[Row]:
        rows = self._rows(split if self.per_split else self.only_split)
        return [row for row in rows if (row.split or (split if self.per_split else self.only_split)) == split]

    def source_of(self, split: str) -> str:
        file = self._file(split)
        return str(file) if file.exists() else f'{file} does not exist'

    def hint_about_splits(self) -> str:
        if not self.is_one_split():
            return self.hint
        return f'{ONE_LIST.format(list=self.source.name, suffix=self.source.suffix)}.'

    def is_one_split(self) -> bool:
        """Whether all images of a single list are of the split that it is read as, since it names none."""
        return not self.per_split and all(row.split is None for row in self._rows(self.only_split))

    def place_of(self, split: str) -> Path | None:
        return self._file(split) if self.per_split else None

    def _file(self, split: str) -> Path:
        return Path(str(self.source).replace('{split}', split))

    def _rows(self, split: str) -> list[Row]:
        file = self.require(self._file(split))
        if file not in self._cache:
            rows = _read_rows(file)
            named = set(self.given or ())
            for row in rows:
                if is_odd_number(row.label) and row.label not in named:
                    raise ValueError(
                        f'{row.place}: label {row.label!r} is neither a class name nor a whole number from 0 on; '
                        f'{WHOLE_NUMBERS}'
                    )
            self._cache[file] = rows
        return self._cache[file]


def _read_rows(file: Path) -> list[Row]:
    rows = list(_csv_rows(file) if file.suffix == '.csv' else _text_rows(file))
    for row in rows:
        if row.split is not None and row.split not in SPLITS:
            raise ValueError(f'{row.place}: split {row.split!r} is none of train, val, test')
    return rows


def _csv_rows(file: Path) -> Iterator[Row]:
    for place, fields in read_table(file, ('path', 'label'), ('split',)):
        yield Row(place, fields['path'], fields['label'], fields.get('split'))


def _text_rows(file: Path) -> Iterator[Row]:
    for place, line in read_lines(file):
        words = line.rsplit(maxsplit=1)
        commas = ',' in words[-1] or (',' in line and PurePath(words[0]).suffix.lower() not in IMAGE_SUFFIXES)
        fields = split_fields(line, place) if commas else words
        if len(fields) not in (2, 3):
            raise ValueError(f"{place}: expected 'path label', 'path,label' or 'path,label,split', found {line!r}")
        if fields[0].strip().isdecimal() and PurePath(fields[1].strip()).suffix.lower() in IMAGE_SUFFIXES:
            raise ValueError(f"{place}: expected 'path label', found {line!r}; the columns are swapped")
        path, label, split = [field.strip() for field in fields] + [None] * (3 - len(fields))
        if not path or not label:
            raise ValueError(f'{place}: path or label is empty')
        yield Row(place, path, label, split)
