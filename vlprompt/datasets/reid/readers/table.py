"""One's own images listed in CSV files."""

from __future__ import annotations

import csv
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from vlprompt.datasets.reid.readers.base import SPLITS, ReIDItem, ReIDReader


class _Row(NamedTuple):
    split: str
    path: str
    id: str
    camera: str
    view: str


class TableReader(ReIDReader):
    """CSV files with the columns ``path``, ``id``, ``camera`` and optionally ``view`` and ``split``.

    Identities, cameras and viewpoints may be numbers or names; over all splits together, equal ones mean the same.
    Cameras and viewpoints are numbered from 0 in sorted order (numbers by value), and so are identities unless all of
    them are numbers, which stay as they are.

    Args:
        source: one file with a column ``split`` (train, query, gallery), or ``.../{split}.csv`` for a file per split.
        image_root: the folder that paths are relative to.
        **kwargs: those of :class:`~vlprompt.datasets.reid.readers.base.ReIDReader`.

    Raises:
        ValueError: a missing column or an empty field; the message names file, line and field.
    """

    REQUIRED = ('path', 'id', 'camera')

    @property
    def files(self) -> dict[str, Path]:
        """File of every split, or the one file under ``'all'``."""
        if '{split}' not in str(self.source):
            return dict(all=self.require(self.source))
        files = {split: Path(str(self.source).replace('{split}', split)) for split in SPLITS}
        return {split: file for split, file in files.items() if file.is_file()}

    @property
    def splits(self) -> tuple[str, ...]:
        found = {row.split for row in self._rows}
        return tuple(split for split in SPLITS if split in found)

    def load(self, split: str) -> list[ReIDItem]:
        pids, cameras, views = (self._numbers[field] for field in ('id', 'camera', 'view'))
        return [
            ReIDItem(row.path, pids[row.id], cameras[row.camera], views[row.view])
            for row in self._rows
            if row.split == split
        ]

    @cached_property
    def _rows(self) -> list[_Row]:
        return [row for split, file in self.files.items() for row in self._read(file, split)]

    def _read(self, file: Path, split: str) -> list[_Row]:
        with file.open(newline='', encoding='utf-8-sig') as stream:
            table = csv.DictReader(stream)
            required = self.REQUIRED + (('split',) if split == 'all' else ())
            missing = [name for name in required if name not in (table.fieldnames or ())]
            if missing:
                raise ValueError(
                    f'{file}: no column {", ".join(map(repr, missing))}; the first line must name the columns path, '
                    "id, camera and, if there are, view and split (or use ann_file='{split}.csv'). Without known "
                    'cameras, give every image its own camera number'
                )
            rows = []
            for line in table:
                fields = {name: (line.get(name) or '').strip() for name in required}
                empty = [name for name, value in fields.items() if not value]
                if empty:
                    raise ValueError(f'{file}:{table.line_num}: field {empty[0]!r} is empty')
                role = fields.get('split', split)
                if role not in SPLITS:
                    raise ValueError(f"{file}:{table.line_num}: split {role!r} is not 'train', 'query' or 'gallery'")
                view = (line.get('view') or '').strip() or '0'
                rows.append(_Row(role, fields['path'], fields['id'], fields['camera'], view))
            return rows

    @cached_property
    def _numbers(self) -> dict[str, dict[str, int]]:
        """Number of every identity, camera and viewpoint by how the files spell it."""
        numbers = {}
        for field in ('id', 'camera', 'view'):
            values = sorted({getattr(row, field) for row in self._rows}, key=_by_value)
            numbers[field] = {value: number for number, value in enumerate(values)}
            if field == 'id' and all(value.isdigit() for value in values):
                numbers[field] = {value: int(value) for value in values}
        return numbers


def _by_value(text: str) -> tuple[bool, int, str]:
    return (not text.isdigit(), int(text) if text.isdigit() else 0, text)
