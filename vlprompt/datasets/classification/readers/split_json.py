"""Split files in the form of CoOp's ``split_zhou_*.json``."""

from __future__ import annotations

from functools import cached_property

from vlprompt.datasets.classification.items import SPLITS, Item, names_by_label
from vlprompt.datasets.classification.readers.base import SplitReader
from vlprompt.files import read_json


class JsonReader(SplitReader):
    """Reads ``{"train": [[path, label, name], ...], "val": [...], "test": [...]}``.

    Paths are relative to ``image_root``; labels are 0..C-1; the classes are those of the training split (or of
    the test split if there is none).

    Args:
        source: the JSON file.
        image_root: the folder that paths are relative to.
        hint: where to get the file.
    """

    @cached_property
    def _content(self) -> dict[str, list]:
        content = read_json(self.require(self.source))
        if not isinstance(content, dict) or not set(content) <= set(SPLITS) or not content:
            found = sorted(content) if isinstance(content, dict) else type(content).__name__
            raise ValueError(f'{self.source}: expected an object with the keys train, val, test; found {found}')
        return content

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(split for split in SPLITS if self._content.get(split))

    def load(self, split: str) -> list[Item]:
        return [self._item(split, i, entry) for i, entry in enumerate(self._content[split])]

    def load_classes(self) -> list[str]:
        if not self.splits:
            raise ValueError(f'{self.source}: all splits are empty')
        return names_by_label(self.load('train' if 'train' in self.splits else self.splits[0]), str(self.source))

    def _item(self, split: str, i: int, entry: object) -> Item:
        if isinstance(entry, list) and [type(value) for value in entry] == [str, int, str]:
            return Item(*entry)
        raise ValueError(
            f'{self.source}: {split}[{i}] is {entry!r}; an entry is [path relative to {self.image_root}, label, '
            'class name]'
        )
