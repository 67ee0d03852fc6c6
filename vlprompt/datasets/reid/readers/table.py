"""Your own images listed in CSV files."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from vlprompt.datasets.reid.readers.base import JUNK, SPLITS, ReIDItem, ReIDReader, is_junk
from vlprompt.files import WHOLE_NUMBERS, is_odd_number, read_table, whole_number

NUMBERED = ('id', 'camera', 'view')


class _Row(NamedTuple):
    split: str
    path: str
    id: str
    camera: str
    view: str

    @property
    def is_junk(self) -> bool:
        return is_junk(self.id)


class TableReader(ReIDReader):
    """CSV files with the columns ``path``, ``id``, ``camera`` and optionally ``view`` and ``split``.

    Identities, cameras and viewpoints may be numbers or names, with the same meaning in all splits.  Cameras and
    viewpoints are numbered from 0 in sorted order (numbers by value), and so are identities, unless all of them are
    numbers, which are kept.  Numbers are whole and not negative; identity -1 is junk and left out.  If
    cameras are unknown, give every image its own camera.

    Args:
        source: one file with a column ``split`` (train, query, gallery), or ``.../{split}.csv`` for a file per split.
        image_root: the folder that paths are relative to.
        **kwargs: those of :class:`~vlprompt.datasets.reid.readers.base.ReIDReader`.

    Raises:
        ValueError: a missing column, an empty field, or a number that is negative, a fraction or longer than 18 digits;
            the message names file, line and field.
    """

    REQUIRED = ('path', 'id', 'camera')

    @property
    def files(self) -> dict[str, Path]:
        """File of every split, or the one file under ``'all'``."""
        if '{split}' not in str(self.source):
            return dict(all=self.require(self.source))
        files = {split: self.place_of(split) for split in SPLITS}
        return {split: file for split, file in files.items() if file.is_file()}

    def place_of(self, split: str) -> Path | None:
        name = str(self.source)
        return Path(name.replace('{split}', split)) if '{split}' in name else None

    @property
    def splits(self) -> tuple[str, ...]:
        found = {row.split for row in self._rows}
        return tuple(split for split in SPLITS if split in found)

    def load(self, split: str) -> list[ReIDItem]:
        pids, cameras, views = (self._numbers[field] for field in NUMBERED)
        return [
            ReIDItem(row.path, JUNK if row.is_junk else pids[row.id], cameras[row.camera], views[row.view])
            for row in self._rows
            if row.split == split
        ]

    @cached_property
    def _rows(self) -> list[_Row]:
        return [row for split, file in self.files.items() for row in self._read(file, split)]

    def _read(self, file: Path, split: str) -> list[_Row]:
        required = (*self.REQUIRED, 'split') if split == 'all' else self.REQUIRED
        rows = []
        otherwise = f"; without a column split, give a file per split: ann_file='{{split}}{file.suffix}'"
        for place, fields in read_table(file, required, ('view',), otherwise if split == 'all' else ''):
            role = fields['split'] if split == 'all' else split
            if role not in SPLITS:
                raise ValueError(f"{place}: split {role!r} is not 'train', 'query' or 'gallery'")
            if fields.get('view') == '':
                raise ValueError(f"{place}: field 'view' is empty; fill it in all rows, or leave the column out")
            row = _Row(role, fields['path'], fields['id'], fields['camera'], fields.get('view') or '0')
            self._check_numbers(row, place)
            rows.append(row)
        return rows

    @staticmethod
    def _check_numbers(row: _Row, place: str) -> None:
        for field in NUMBERED:
            value = getattr(row, field)
            whole_number(value, f'{place}: {field}')
            if is_odd_number(value) and not (field == 'id' and row.is_junk):
                raise ValueError(
                    f'{place}: {field} {value!r} is neither a name nor a whole number from 0 on; {WHOLE_NUMBERS}'
                )

    @cached_property
    def _numbers(self) -> dict[str, dict[str, int]]:
        """Number of every identity, camera and viewpoint by its spelling in the files."""
        numbers = {}
        for field in NUMBERED:
            rows = self._rows if field != 'id' else [row for row in self._rows if not row.is_junk]
            values = sorted({getattr(row, field) for row in rows}, key=_by_value)
            numbers[field] = {value: number for number, value in enumerate(values)}
            if field == 'id' and all(value.isdecimal() for value in values):
                numbers[field] = {value: int(value) for value in values}
        return numbers


def _by_value(text: str) -> tuple[bool, int, str]:
    return (not text.isdecimal(), int(text) if text.isdecimal() else 0, text)
