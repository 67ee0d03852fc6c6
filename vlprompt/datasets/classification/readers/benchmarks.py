"""Benchmarks that come with their own folders and lists instead of a split JSON."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from vlprompt.clip.classnames import read_class_names
from vlprompt.datasets.classification.items import Item
from vlprompt.datasets.classification.readers.base import SplitReader, class_folders, index_of
from vlprompt.files import read_lines


class WnidReader(SplitReader):
    """ImageNet and its variants: a folder per class and ``classnames.txt`` with lines ``<wnid> <name>``.

    The label of a class is the position of its WordNet id among the sorted ids.  Files are sorted by name; the
    reference implementation keeps the order of the file system, so its few-shot draws from ImageNet differ between
    machines and cannot be reproduced.

    Args:
        root: the folder that holds ``classnames.txt``.
        folders: split -> folder below ``root`` with one sub-folder per class.
        numeric: sub-folders are named by label (0, 1, ...) instead of by wnid.
        own_classes: the classes are those of the sub-folders alone (200 in ImageNet-A and -R), not all of
            ``classnames.txt``.
        hint: where to get the data.
    """

    def __init__(
        self,
        root: Path,
        folders: dict[str, str],
        numeric: bool = False,
        own_classes: bool = False,
        hint: str = '',
    ) -> None:
        super().__init__(root, root, hint)
        self.folders = folders
        self.numeric = numeric
        self.own_classes = own_classes

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.folders)

    @cached_property
    def _names(self) -> dict[str, str]:
        """Class name of every wnid, sorted by wnid."""
        file = self.require(self.source / 'classnames.txt')
        names: dict[str, str] = {}
        for place, line in read_lines(file):
            wnid, _, name = line.partition(' ')
            if not name or wnid in names:
                problem = 'lists a wnid twice' if wnid in names else "is not '<wnid> <name>'"
                raise ValueError(f'{place}: {line!r} {problem}')
            names[wnid] = name.strip()
        return dict(sorted(names.items()))

    @cached_property
    def _keys(self) -> list[str]:
        """Folder names in label order."""
        if self.numeric:
            return [str(label) for label in range(len(self._names))]
        if self.own_classes:
            return class_folders(self.require(self.source / next(iter(self.folders.values()))))
        return list(self._names)

    def load_classes(self) -> list[str]:
        if self.numeric:
            return list(self._names.values())
        unknown = [wnid for wnid in self._keys if wnid not in self._names]
        if unknown:
            raise ValueError(f'{self.source}: folder {unknown[0]!r} is not in classnames.txt')
        return [self._names[wnid] for wnid in self._keys]

    def load(self, split: str) -> list[Item]:
        base = self.folders[split]
        labels = index_of(self._keys)
        keys = class_folders(self.require(self.source / base))
        for key in keys:
            if key not in labels:
                raise ValueError(f'{self.source / base / key}: not one of the {len(labels)} classes')
        return self.items_of_folders(base, split, {key: self.classes[labels[key]] for key in keys}, labels)


class AircraftReader(SplitReader):
    """FGVC-Aircraft: ``variants.txt`` (one class per line) and ``images_variant_<split>.txt``.

    A line of the latter is ``<image id> <variant>``, the image is ``images/<image id>.jpg``.

    Args:
        root: the folder that holds these files.
        hint: where to get the data.
    """

    splits = ('train', 'val', 'test')

    def __init__(self, root: Path, hint: str = '') -> None:
        super().__init__(root, root, hint)

    def load_classes(self) -> list[str]:
        return read_class_names(self.require(self.source / 'variants.txt'))

    def load(self, split: str) -> list[Item]:
        file = self.require(self.source / f'images_variant_{split}.txt')
        labels = index_of(self.classes)
        items: list[Item] = []
        for place, line in read_lines(file):
            image, _, variant = line.partition(' ')
            if variant not in labels:
                raise ValueError(f'{place}: {variant!r} is not in variants.txt')
            items.append(Item(f'images/{image}.jpg', labels[variant], variant))
        return items
